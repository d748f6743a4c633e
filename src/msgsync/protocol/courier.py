"""The courier: what a replica reads in a mailbox, and what it puts there. Sans-IO. Source: design 9.

Rules
-----
- A round is: the own key object; the logs of others, as far as they go on from what was read; key objects, if what is
  known of the account has changed; the own log; a checkpoint, if one is due.
- `run` is a generator. It asks for one request at a time, and is sent the answer, or thrown the `MailboxError`.
  Whatever it is thrown, what was read and put before stays, and the next round goes on from there.
- How far a log was read is written in the transaction of what was read. What was put is noted once it is there; if it
  is not known whether it is, the next round begins another log: no device ever signs two objects for one place.
- A damaged, misplaced or missing object stops its log and nothing else, and not for ever; the report names it. See
  `protocol.gaps`.
- A batch may go on from entries that came in another log: it waits until those were read, then it is taken as it is.
- With a checkpoint, key objects are put anew: what is lost of those of others, a phrase's above all, nobody else
  notices. And what pairings have left goes.
- Chunks of attachments come last: see `protocol.chunkcourier`.
- Objects that were there and are gone show that the mailbox was emptied, put back or replaced. Then all is put anew.
"""

from __future__ import annotations

from collections.abc import Callable

from msgsync.account.head import Kind
from msgsync.account.seal import SALT_BYTES, Sealer, log_name
from msgsync.errors import NotCaughtUp, RotationDue, UnknownEpoch
from msgsync.protocol.batch import cut, encode_batch
from msgsync.protocol.checkpoint import Checkpointer
from msgsync.protocol.chunkcourier import ChunkCorrespondent, ChunkCourier
from msgsync.protocol.correspondent import Correspondent, Log, Outgoing
from msgsync.protocol.errand import Errand, List, Round
from msgsync.protocol.events import Event, SyncReport
from msgsync.protocol.keyobjects import KeyObjects
from msgsync.protocol.logs import LogReader
from msgsync.protocol.meeting import remove_leftovers
from msgsync.protocol.objects import LOGS, Objects, by_folder, name_of


class Courier:
    """One round of a replica at a mailbox; see the rules above.

    Args:
        replica: with the mailbox.
        on_event: told of `Progress`.
        chunks: the same replica's, with the mailbox; None to leave chunks of attachments for another round.
        most_chunks: how many chunks to carry, at most; None for all.
    """

    def __init__(
        self,
        replica: Correspondent,
        on_event: Callable[[Event], None] | None = None,
        *,
        chunks: ChunkCorrespondent | None = None,
        most_chunks: int | None = None,
    ) -> None:
        self._replica = replica
        self._round = Round(on_event)
        self._chunks = None if chunks is None else ChunkCourier(chunks, self._round, most_chunks)

    @property
    def has_more(self) -> bool:
        """Whether chunks were left for the next round."""
        return self._chunks is not None and self._chunks.has_more

    def run(self) -> Errand[SyncReport]:
        """The round.

        Raises:
            DeviceRevoked, NotAMember: this device is not in the account, or not any more.
            MailboxError: the mailbox cannot be used now.
        """
        keys = KeyObjects(self._replica, self._round)
        yield from keys.read()
        objects = Objects(self._replica, self._round, keys.read)
        reader = LogReader(self._replica, self._round, objects)
        listed = by_folder((yield List(LOGS)))
        yield from reader.read(listed)
        self._replica.learn_tidings()
        yield from reader.look_for_losses(listed)
        if keys.is_lost:
            self._replica.lost(())
        if reader.misses_statements and not self._replica.has_asked():
            keys.ask()
        if reader.met_strangers:
            yield from keys.introduce()
        yield from keys.put()
        checkpointer = Checkpointer(self._replica, self._round, objects)
        yield from checkpointer.begin(listed)
        all_put = yield from self._put_batches()
        yield from checkpointer.remove(listed, self._replica.refused_for_long(reader.refused))
        if (yield from checkpointer.run(listed)):
            yield from keys.put(anew=True)
            yield from remove_leftovers(self._replica.now_ms())
        if self._chunks is not None:
            yield from self._chunks.run(all_put=all_put)
        self._replica.finished(complete=self._round.complete)
        self._see_what_is_missing()
        return self._round.report()

    def _see_what_is_missing(self) -> None:
        """Nothing was left out that is there; yet this device may wait for what was not."""
        if count := self._replica.waits_for():
            why = f"{count} of them are to come back to this device, and are not there as they were here"
            self._round.note("months", NotCaughtUp(f"{why}; sync with a device that has them"))

    def _put_batches(self) -> Errand[bool]:
        """Put what is not there; return whether all is."""
        has_said = False
        while (outgoing := self._replica.next_batch()) is not None:
            if not outgoing.documents:
                self._replica.posted(outgoing, "", None)
                continue
            try:
                yield from self._put_batch(
                    outgoing, self._replica.say(anyway=True) if outgoing.is_last else b""
                )
            except (RotationDue, UnknownEpoch) as error:
                self._round.note("nothing is put", error)
                return False
            self._round.put += len(outgoing.documents)
            has_said = has_said or outgoing.is_last
        if not has_said and (tidings := self._replica.say(anyway=False)):
            try:
                yield from self._put_batch(Outgoing((), None), tidings)
            except (RotationDue, UnknownEpoch) as error:
                self._round.note("nothing is put", error)
                return False
        return True

    def _put_batch(self, outgoing: Outgoing, tidings: bytes) -> Errand[None]:
        roster, keyring = self._replica.account()
        epoch = roster.state.sealing_epoch()
        secret = keyring.secret(epoch)
        own = self._replica.own_log(epoch)
        keys = self._replica.keys
        folder = log_name(secret, roster.account, keys.device_id, own.incarnation)
        sealer = Sealer(keys, keyring, roster, own.incarnation)
        after = own.after
        for body in cut(encode_batch(outgoing.documents, own.first, tidings)):
            salt = self._replica.random_bytes(SALT_BYTES)
            sealed = sealer.seal(body, Kind.BATCH, after=after, salt=salt)
            after = sealed.position
            yield from self._round.leave(name_of(folder, after.sequence), sealed.raw)
        assert after is not None
        log = Log(keys.device_id, own.first, after, own.first)
        self._replica.posted(outgoing, folder, log)
