"""Replicas that are never online together, with a mailbox between them that does what it likes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any

import pytest

import msgsync
from msgsync import (
    Conversation,
    DeviceRevoked,
    Event,
    MailboxBusy,
    MailboxError,
    MemoryMailbox,
    Progress,
    ReadOnly,
    Replica,
    SyncReport,
    limits,
    open_mailbox,
    sync,
)
from msgsync.account.introduction import introduction_name
from msgsync.account.keyobject import key_object_name
from msgsync.account.seal import Opened, open_object
from msgsync.account.statements import Revoke
from msgsync.document.schema import DocumentId
from msgsync.mailbox.carrying import carry, perform
from msgsync.protocol import objects as protocol_objects
from msgsync.protocol.courier import Courier
from msgsync.protocol.errand import Get, List, Put, Request
from msgsync.replica.mailing import Mailing
from msgsync.testing import assert_converged, assert_sound
from tests.unit.locks import LockWatch
from tests.unit.parts import freeze

DAY_MS = 86_400_000


def visit(replica: Replica, box: MemoryMailbox) -> SyncReport:
    """One round."""
    return carry(Courier(Mailing(replica, box.address)).run(), box)


def visits(box: MemoryMailbox, *replicas: Replica) -> list[SyncReport]:
    return [visit(replica, box) for replica in replicas]


def texts(replica: Replica, conversation: str = "family") -> list[str]:
    return [message.text for message in replica.conversation(conversation).messages()]


def objects(box: MemoryMailbox) -> list[str]:
    return box.list("log")


# Together apart.


def test_devices_that_are_never_online_together_show_the_same(phone, tablet, family, box):
    hello = family.send("Dinner at eight?")
    [report, other] = visits(box, phone, tablet)
    assert (report.documents_sent, report.complete) == (2, True)
    assert (other.documents_received, other.messages_received, other.complete) == (2, 1, True)
    tablet.conversation("family").react(hello.id, "👍")
    tablet.conversation("family").send("Yes")
    visits(box, tablet, phone)
    assert_converged(phone, tablet)
    assert_sound(tablet)
    assert texts(phone) == ["Dinner at eight?", "Yes"]


def test_callbacks_of_a_round_run_when_the_lock_is_free(phone, tablet, family, box):
    watch = LockWatch(tablet)
    tablet.on_commit(watch)
    tablet.subscribe(watch)
    family.send("Hello")
    visits(box, phone, tablet)
    assert watch.seen
    assert all(watch.seen)


def test_devices_that_never_heard_of_each_other_meet_by_their_epoch(
    phone, tablet, family, box, tmp_path
):
    """Both came back from backups when all who knew both were gone."""
    family.send("before")
    msgsync.sync(phone, tablet)
    kept = [tmp_path / "phone.backup", tmp_path / "tablet.backup"]
    phone.backup(kept[0])
    tablet.backup(kept[1])
    phone.close()
    tablet.close()
    with (
        msgsync.restore(kept[0], tmp_path / "a.db", as_new_device=True, author="ann") as one,
        msgsync.restore(kept[1], tmp_path / "b.db", as_new_device=True, author="ann") as other,
    ):
        one.conversation("family").send("from one")
        other.conversation("family").send("from the other")
        visits(box, one, other, one, other, one)
        assert set(texts(one)) == {"before", "from one", "from the other"}
        assert_converged(one, other)
        for replica in (one, other):
            assert len([device for device in replica.devices() if not device.revoked_ms]) == 4
        before = objects(box)
        visits(box, one, other)
        assert objects(box) == before


def test_whoever_a_revoked_device_adds_is_not_introduced_into_the_account(
    phone, tablet, family, box, tmp_path
):
    family.send("before")
    visits(box, phone, tablet)
    phone.revoke(tablet.device, even_without_recovery=True)
    family.send("after")
    with tablet.new_device(tmp_path / "stranger.db", author="eve") as stranger:
        msgsync.sync(tablet, stranger)
        visit(phone, box)
        stranger.conversation("family").send("let me in")
        for _ in range(2):
            visits(box, stranger, phone)
        assert "after" not in texts(stranger)
        assert set(phone.membership.roster().state.members) == {phone.device}
        assert texts(phone) == ["before", "after"]
        names = {
            introduction_name(remnant, phone.membership.roster().account)
            for remnant in phone.membership.keyring().remnants().values()
        }
        assert names & {*box.list("keys")}  # it was read


def test_what_was_read_is_not_put_again(phone, tablet, laptop, family, box):
    family.send("Hello")
    visits(box, phone, tablet, laptop, phone)
    assert len(objects(box)) == 1
    tablet.conversation("family").send("Hi")
    visits(box, tablet, laptop, phone, tablet)
    assert len(objects(box)) == 2


def test_a_lone_message_is_one_small_object_and_a_flood_few(phone, tablet, family, box):
    visits(box, phone, tablet)
    family.send("Hello")
    before = set(objects(box))
    report = visit(phone, box)
    [new] = set(objects(box)) - before
    assert report.bytes_sent == len(box.get(new)) < 1000
    for number in range(500):
        family.send(f"number {number}")
    visit(phone, box)
    assert len(objects(box)) == len(before) + 2


def test_a_round_that_has_nothing_to_do_asks_twice_and_writes_nothing(phone, tablet, family, box):
    visits(box, phone, tablet, phone)
    asked: list[Request] = []
    errand = Courier(Mailing(phone, box.address)).run()
    with phone.reading() as store:
        seq = store.seq
    answer = None
    with suppress(StopIteration):
        while True:
            request = errand.send(answer)
            asked.append(request)
            answer = perform(box, request)
    assert [type(one) for one in asked] == [Get, List]
    with phone.reading() as store:
        assert store.seq == seq


def test_a_device_that_is_only_on_the_network_reaches_the_mailbox_through_another(
    phone, tablet, laptop, family, box
):
    family.send("Hello")
    sync(phone, tablet)
    tablet.conversation("family").send("Hi")
    visits(box, tablet, laptop)
    assert texts(laptop) == ["Hello", "Hi"]
    assert_converged(laptop, tablet)


def test_several_mailboxes_at_once(phone, tablet, laptop, family):
    home, away = MemoryMailbox("memory:home"), MemoryMailbox("memory:away")
    family.send("Hello")
    visit(phone, home)
    visits(home, tablet)
    visits(away, tablet, laptop)
    laptop.conversation("family").send("Hi")
    visits(away, laptop, tablet)
    visits(home, tablet, phone)
    assert_converged(phone, tablet, laptop)


def test_what_is_erased_on_one_device_disappears_on_the_other(phone, tablet, family, box):
    secret = family.send("secret")
    visits(box, phone, tablet)
    family.erase(secret.id)
    visits(box, phone, tablet)
    assert texts(tablet) == []
    assert tablet.verify_erased(secret.id).found == ()
    assert_converged(phone, tablet)


def test_a_reopened_replica_goes_on_in_a_log_of_its_own(open_replica, phone, tablet, family, box):
    family.send("one")
    visits(box, phone, tablet)
    phone.close()
    again = open_replica("phone.db")
    again.conversation("family").send("two")
    visits(box, again, tablet)
    folders = {name.split("/")[1] for name in objects(box)}
    assert (len(folders), len(objects(box))) == (2, 2)
    assert [int(name[-16:], 16) for name in sorted(objects(box), key=lambda one: one[-16:])] == [
        1,
        2,
    ]
    assert_converged(again, tablet)


def test_documents_that_were_frozen_on_either_side_meet(phone, tablet, family, box):
    family.send("one")
    visits(box, phone, tablet)
    [kind] = {row.kind for row in documents(phone) if row.is_segment}
    month = DocumentId("family", kind)
    freeze(phone, month)
    tablet.conversation("family").send("two")
    family.send("three")
    freeze(tablet, month)
    visits(box, phone, tablet, phone, tablet)
    assert_converged(phone, tablet)
    assert sorted(texts(phone)) == ["one", "three", "two"]


def documents(replica: Replica) -> list[DocumentId]:
    with replica.reading() as store:
        return [row.id for row in store.documents.select("")]


def test_progress_is_told(phone, tablet, family, box):
    family.send("Hello")
    visit(phone, box)
    told: list[Event] = []
    carry(Courier(Mailing(tablet, box.address), told.append).run(), box)
    [progress] = told
    assert isinstance(progress, Progress)
    assert (progress.documents, progress.messages) == (2, 1)


def test_a_replica_that_is_open_for_reading_has_no_place_to_keep_how_far_it_read(
    open_replica, phone, box
):
    reader = open_replica("phone.db", readonly=True)
    with pytest.raises(ReadOnly):
        Mailing(reader, box.address)


def test_a_device_fills_and_then_is_filled(phone, tablet, family, box):
    family.send("Hello")
    visits(box, phone, tablet)
    with tablet.reading() as store:
        assert not store.missing.filling


# Batches of several objects, and batches that go on from others.


def test_a_document_larger_than_an_object_goes_in_several(phone, tablet, family, box, monkeypatch):
    monkeypatch.setattr(limits, "BATCH_PIECE_BYTES", 1000)
    family.send("x" * 5000)
    visit(phone, box)
    assert len(objects(box)) > 4
    assert visit(tablet, box).complete
    assert_converged(phone, tablet)


def test_a_batch_of_which_the_end_is_missing_is_not_taken(phone, tablet, family, box, monkeypatch):
    monkeypatch.setattr(limits, "BATCH_PIECE_BYTES", 1000)
    family.send("x" * 5000)
    visit(phone, box)
    last = objects(box)[-1]
    body = box.get(last)
    box.delete(last)
    report = visit(tablet, box)
    assert report.documents_received == 0
    assert "not whole yet" in report.refused[0]
    again = visit(tablet, box)
    assert again.refused == report.refused
    assert again.bytes_received == len(box.get(key_object_name(tablet.membership.keys.public)))
    box.put(last, body)
    assert visit(tablet, box).documents_received == 2
    assert_converged(phone, tablet)


def test_a_batch_waits_for_what_it_goes_on_from(phone, tablet, laptop, family, box):
    family.send("one")
    visits(box, phone, tablet, laptop)
    family.send("two")
    visit(phone, box)
    visit(tablet, box)
    family.send("three")
    sync(phone, tablet)  # tablet puts what goes on from what phone has put
    visit(tablet, box)
    assert visit(laptop, box).complete
    assert texts(laptop) == ["one", "two", "three"]
    with laptop.reading() as store:
        writers = [row.writers for row in store.documents.select("") if row.id.is_segment]
    assert writers == [1]  # nothing had to be written as the words of another


def test_what_goes_on_from_something_lost_is_taken_as_it_is(phone, tablet, laptop, family, box):
    family.send("one")
    visits(box, phone, tablet, laptop)
    family.send("two")
    visit(phone, box)
    lost = objects(box)[-1]
    visit(tablet, box)
    family.send("three")
    sync(phone, tablet)
    visit(tablet, box)
    box.delete(lost)
    visit(laptop, box)
    assert texts(laptop) == ["one", "three"]
    visits(box, phone, laptop, tablet, phone, laptop)
    assert_converged(phone, tablet, laptop)


# Broken off.


class Stops(MailboxError):
    """What a mailbox raises that stops here."""


def broken_off(replica: Replica, box: MemoryMailbox, after: int, *, done: bool) -> bool:
    """A round in which one request fails, though it may have been done; return whether it came so far."""
    errand = Courier(Mailing(replica, box.address)).run()
    request = next(errand)
    try:
        for _ in range(after):
            try:
                answer = perform(box, request)
            except MailboxError as error:
                request = errand.throw(error)
            else:
                request = errand.send(answer)
    except StopIteration:
        return False
    if done and isinstance(request, Put):
        perform(box, request)
    with pytest.raises(Stops):
        errand.throw(Stops("here"))
    return True


@pytest.mark.parametrize("done", [False, True])
def test_a_round_that_breaks_off_anywhere_is_made_good_by_the_next(
    open_replica, phone, tablet, family, box, monkeypatch, done
):
    monkeypatch.setattr(limits, "BATCH_PIECE_BYTES", 400)
    monkeypatch.setattr(limits, "BATCH_FILL_BYTES", 400)
    put: dict[str, bytes] = {}
    real = box.put

    def watched(name: str, body: bytes) -> None:
        if name.startswith("log/"):
            assert put.setdefault(name, body) == body, "two objects for one place in a log"
        real(name, body)

    box.put = watched
    for number in range(6):
        family.send(f"message {number} " + "x" * 500)
        phone.create_conversation(f"number {number}").send("Hello")
    after = 0
    while broken_off(phone, box, after, done=done) | broken_off(tablet, box, after, done=done):
        after += 1
    assert after > 5
    visits(box, phone, tablet, phone, tablet)
    assert_converged(phone, tablet)
    assert_sound(tablet)


def test_a_mailbox_that_fails_is_named_and_what_was_read_stays(phone, tablet, family, box):
    family.send("Hello")
    visit(phone, box)
    tablet.create_conversation("Mine")

    def busy(_name: str, _body: bytes) -> None:
        raise MailboxBusy("too many requests")

    box.put = busy
    with pytest.raises(MailboxBusy):
        visit(tablet, box)
    assert texts(tablet) == ["Hello"]


# Objects that are not what they should be.


def flipped(body: bytes) -> bytes:
    return body[:-20] + bytes((body[-20] ^ 1,)) + body[-19:]


@pytest.mark.parametrize(
    "damage",
    [flipped, lambda body: body[:-1], lambda body: body[:40], lambda _: b"", lambda _: b"x" * 500],
    ids=["flipped", "cut off", "cut short", "empty", "another"],
)
def test_a_damaged_object_stops_its_log_and_no_other(phone, tablet, laptop, family, box, damage):
    family.send("one")
    visit(phone, box)
    [hurt] = objects(box)
    tablet.create_conversation("Mine", id="mine").send("whole")
    visit(tablet, box)
    box.put(hurt, damage(box.get(hurt)))
    report = visit(laptop, box)
    assert not report.complete
    assert [one for one in report.refused if hurt in one] == list(report.refused)
    assert texts(laptop, "mine") == ["whole"]
    assert len(documents(laptop)) >= 2


def three_messages(phone: Replica, family: Conversation, box: MemoryMailbox) -> list[str]:
    for number in range(3):
        family.send(f"number {number}")
        visit(phone, box)
    assert len(objects(box)) == 3
    return objects(box)


def test_objects_that_were_swapped_are_refused(phone, tablet, family, box):
    first, second, _ = three_messages(phone, family, box)
    one, other = box.get(first), box.get(second)
    box.put(first, other)
    box.put(second, one)
    report = visit(tablet, box)
    assert "not its own" in report.refused[0]
    assert documents(tablet) == []


def test_an_object_that_is_replayed_is_refused(phone, tablet, family, box):
    first, second, third = three_messages(phone, family, box)
    replayed = box.get(first)
    box.delete(third)
    visit(tablet, box)
    box.put(third, replayed)
    report = visit(tablet, box)
    assert "read before" in report.refused[0]
    assert texts(tablet) == ["number 0", "number 1"]
    assert second in objects(box)


def test_an_object_that_is_missing_stops_its_log_until_it_is_there(phone, tablet, family, box):
    _, second, _ = three_messages(phone, family, box)
    visits(box, phone)
    body = box.get(second)
    box.delete(second)
    report = visit(tablet, box)
    assert "come before this one" in report.refused[0]
    assert texts(tablet) == ["number 0"]
    box.put(second, body)
    assert visit(tablet, box).complete
    assert_converged(phone, tablet)


def test_an_object_that_its_device_misses_is_made_good(phone, tablet, family, box):
    _, second, _ = three_messages(phone, family, box)
    box.delete(second)
    visits(box, phone, tablet)
    assert texts(tablet) == ["number 0", "number 1", "number 2"]
    before = objects(box)
    assert [one.documents_sent for one in visits(box, phone, tablet, phone)] == [0, 0, 0]
    assert objects(box) == before  # once is enough


def test_an_object_in_the_log_of_another_device_is_refused(phone, tablet, laptop, family, box):
    family.send("Hello")
    visits(box, phone, tablet)
    [phones] = objects(box)
    tablet.conversation("family").send("Hi")
    visit(tablet, box)
    [tablets] = set(objects(box)) - {phones}
    box.put(tablets[:-1] + "3", box.get(phones))
    report = visit(laptop, box)
    assert any("log" in one for one in report.refused)
    assert sorted(texts(laptop)) == ["Hello", "Hi"]


def test_another_accounts_objects_are_named_and_stay_out(open_replica, phone, tablet, family, box):
    stranger = open_replica("stranger.db")
    stranger.create_conversation("Theirs").send("not for you")
    visit(stranger, box)
    family.send("Hello")
    report = visit(phone, box)
    assert "another account" in report.refused[0]
    assert not report.complete
    visit(tablet, box)
    assert texts(tablet) == ["Hello"]
    assert len(tablet.conversations()) == 1


def test_what_has_another_name_is_no_object(phone, tablet, family, box):
    family.send("Hello")
    visit(phone, box)
    for name in ("log/x", "log/ab/1", f"log/{'a' * 32}/1", f"log/{'A' * 32}"[:36].lower()):
        box.put(name, b"nothing")
    assert visit(tablet, box).complete


def test_a_name_with_nothing_behind_it_is_named(phone, tablet, family, box):
    three_messages(phone, family, box)
    real: Callable[[str], bytes] = box.get

    def late(name: str) -> bytes:
        if name == objects(box)[1]:
            box.delete(name)
        return real(name)

    box.get = late
    report = visit(tablet, box)
    assert "there is no object" in report.refused[0]


def test_a_document_that_admission_refuses_does_not_stop_the_others(phone, tablet, family, box):
    family.send("Hello")
    mailing = Mailing(phone, box.address)
    real = mailing.next_batch

    def lying() -> object:
        outgoing = real()
        if outgoing is None:
            return None
        documents = [
            (one, parts._replace(updates=(b"\xff\xff",)) if one.kind == "head" else parts)
            for one, parts in outgoing.documents
        ]
        return type(outgoing)(documents, outgoing.mark)

    mailing.next_batch = lying  # type: ignore[method-assign,assignment]
    carry(Courier(mailing).run(), box)
    report = visit(tablet, box)
    assert "head" in report.refused[0]
    assert texts(tablet) == ["Hello"]


# The account.


def test_a_device_that_slept_through_a_change_of_epoch_learns_of_it(phone, tablet, family, box):
    visits(box, phone, tablet)
    phone.rotate()
    family.send("Hello")
    visits(box, phone, tablet)
    assert texts(tablet) == ["Hello"]
    tablet.conversation("family").send("Hi")
    assert all(one.complete for one in visits(box, tablet, phone))
    assert_converged(phone, tablet)


def test_a_revoked_devices_objects_are_refused(phone, tablet, laptop, family, box):
    visits(box, phone, tablet, laptop)
    phone.revoke(tablet.device, even_without_recovery=True)
    visits(box, phone, laptop)
    tablet.create_conversation("Mine", id="mine").send("let me in")
    for name in box.list("keys"):
        box.delete(name)  # it does not hear of it
    visit(tablet, box)
    for member in (phone, laptop):
        report = visit(member, box)
        assert any("not in the account any more" in one for one in report.refused)
        assert len(member.conversations()) == 1


def test_a_device_that_was_revoked_is_told_so(phone, tablet, family, box):
    visits(box, phone, tablet)
    phone.revoke(tablet.device, even_without_recovery=True)
    visit(phone, box)
    with pytest.raises(DeviceRevoked):
        visit(tablet, box)
    with pytest.raises(DeviceRevoked):
        visit(tablet, box)


def test_what_was_accepted_of_a_device_before_it_was_revoked_reaches_the_others(
    phone, tablet, laptop, family, box
):
    visits(box, phone, tablet)
    tablet.conversation("family").send("while I was one of you")
    visits(box, tablet, phone)
    phone.revoke(tablet.device, even_without_recovery=True)
    visits(box, phone, laptop)
    assert texts(laptop) == ["while I was one of you"]
    assert [one.message.text for one in phone.accepted_from(tablet.device) if one.message] == [
        "while I was one of you"
    ]


def test_what_one_device_alone_had_accepted_of_it_reaches_the_others_through_that(
    phone, tablet, laptop, family, box
):
    visits(box, phone, tablet, laptop)
    tablet.conversation("family").send("while I was one of you")
    visits(box, tablet, laptop)
    phone.revoke(tablet.device, even_without_recovery=True)
    visit(phone, box)
    assert texts(phone) == []
    visits(box, laptop, phone)
    assert texts(phone) == ["while I was one of you"]
    count = len(objects(box))
    visits(box, laptop, phone, laptop)
    assert len(objects(box)) == count


def revoke_once_read(monkeypatch, phone: Replica, tablet: Replica, sequence: int) -> None:
    """Have another thread of the phone revoke the tablet between opening an object of its log and taking that in."""

    def opened_and_revoked(raw: bytes, **known: Any) -> Opened:
        opened = open_object(raw, **known)
        if (opened.head.device, opened.head.sequence) == (tablet.device, sequence):
            thread = Thread(target=partial(phone.revoke, tablet.device, even_without_recovery=True))
            thread.start()
            thread.join()
        return opened

    monkeypatch.setattr(protocol_objects, "open_object", opened_and_revoked)


def test_what_a_device_put_is_not_taken_if_it_is_revoked_between_reading_and_merging(
    phone, tablet, laptop, family, box, monkeypatch
):
    """What had been accepted before stands, also on devices that read it later; what comes behind that does not."""
    visits(box, phone, tablet)
    for text in ("accepted before", "read and not taken yet"):
        tablet.conversation("family").send(text)
        visit(tablet, box)
        if text == "accepted before":
            visit(phone, box)
    revoke_once_read(monkeypatch, phone, tablet, 2)
    report = visit(phone, box)
    assert any("not in the account any more" in one for one in report.refused)
    assert not report.complete
    assert texts(phone) == ["accepted before"]
    monkeypatch.undo()
    visits(box, laptop, phone)
    assert texts(laptop) == texts(phone) == ["accepted before"]


def test_key_objects_that_were_put_back_are_put_anew(phone, tablet, family, box):
    visits(box, phone, tablet)
    old = {name: box.get(name) for name in box.list("keys")}
    phone.rotate()
    visits(box, phone, tablet)
    for name, body in old.items():
        box.put(name, body)
    visits(box, phone)
    own = key_object_name(tablet.membership.keys.public)
    assert box.get(own) != old[own]
    assert all(one.complete for one in visits(box, tablet, phone))


def test_a_damaged_key_object_is_named_and_put_anew(phone, tablet, family, box):
    visits(box, phone, tablet)
    own = key_object_name(tablet.membership.keys.public)
    box.put(own, b"nothing")
    assert own in visit(tablet, box).refused[0]
    assert visit(tablet, box).complete


def test_who_has_no_epoch_yet_reads_and_puts_nothing(phone, tablet, laptop, family, box):
    visits(box, phone, tablet, laptop)
    membership = phone.membership
    membership.say(Revoke(tablet.membership.keys.public.signing, ()))
    family.send("Hello")
    before = objects(box)
    assert "nothing is put" in visit(phone, box).refused[0]
    assert objects(box) == before
    phone.rotate()
    assert visit(phone, box).documents_sent == 2  # and that it seals under the new one


# Mailboxes that are not what they were.


def wiped(box: MemoryMailbox, _before: dict[str, bytes]) -> None:
    for name in box.list("log") + box.list("keys"):
        box.delete(name)


def rolled_back(box: MemoryMailbox, before: dict[str, bytes]) -> None:
    wiped(box, before)
    for name, body in before.items():
        box.put(name, body)


def half_copied(box: MemoryMailbox, _before: dict[str, bytes]) -> None:
    for name in (box.list("log") + box.list("keys"))[::2]:
        box.delete(name)


@pytest.mark.parametrize("harm", [wiped, rolled_back, half_copied])
def test_a_mailbox_that_is_not_what_it_was_is_mended_from_the_devices(
    open_replica,
    phone,
    tablet,
    family,
    box,
    harm: Callable[[MemoryMailbox, dict[str, bytes]], None],
):
    family.send("one")
    visits(box, phone, tablet)
    before = {name: box.get(name) for name in box.list("log") + box.list("keys")}
    family.send("two")
    tablet.conversation("family").send("three")
    visits(box, phone, tablet, phone, tablet)
    harm(box, before)
    family.send("four")
    visits(box, phone, tablet, phone, tablet)
    assert_converged(phone, tablet)
    late = open_replica("laptop.db", member=phone)
    visits(box, late, phone, late)
    assert_converged(phone, late)
    assert sorted(texts(late)) == ["four", "one", "three", "two"]


def test_a_stale_listing_is_not_taken_for_a_loss(phone, tablet, family, box):
    family.send("one")
    visits(box, phone, tablet)
    old = objects(box)
    family.send("two")
    visit(phone, box)
    count = len(objects(box))
    real = box.list
    box.list = lambda folder: old if folder == "log" else real(folder)
    assert visit(phone, box).documents_sent == 0
    box.list = real
    assert len(objects(box)) == count


def test_two_copies_of_one_device_are_noticed(open_replica, phone, tablet, family, box, tmp_path):
    import shutil

    family.send("one")
    visits(box, phone, tablet)
    phone.close()
    shutil.copy(tmp_path / "phone.db", tmp_path / "copy.db")
    original, copy = open_replica("phone.db"), open_replica("copy.db")
    original.conversation("family").send("two")
    copy.conversation("family").send("three")
    visit(original, box)
    visit(copy, box)
    copy.conversation("family").send("four")
    visit(copy, box)
    report = visit(original, box)
    assert "was copied" in report.refused[0]
    visits(box, tablet, copy)
    assert_converged(original, tablet, copy)


def test_a_folder_does_the_same(phone, tablet, family, tmp_path):
    (tmp_path / "box").mkdir()
    url = (tmp_path / "box").as_uri()
    family.send("Hello")
    assert sync(phone, url).complete
    assert sync(tablet, open_mailbox(url)).complete
    assert_converged(phone, tablet)
