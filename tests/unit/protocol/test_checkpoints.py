"""Checkpoints: a mailbox stays small, erased text leaves it, and nobody who was away loses anything by that."""

from __future__ import annotations

from contextlib import suppress

import cbor2
import pytest

from msgsync import (
    MailboxError,
    MemoryMailbox,
    ObjectDamaged,
    Replica,
    UnknownEpoch,
    limits,
    recover,
)
from msgsync.account.head import Head, Kind, LogEnd
from msgsync.account.keyobject import key_object_name
from msgsync.account.recovery import RecoveryPhrase
from msgsync.account.seal import is_checkpoint_name, open_object
from msgsync.account.statements import Position
from msgsync.errors import NotAMember, ObjectRefused
from msgsync.ids import DeviceId
from msgsync.mailbox.carrying import perform
from msgsync.protocol.batch import read_batch, read_piece
from msgsync.protocol.courier import Courier
from msgsync.protocol.errand import Delete, Put
from msgsync.protocol.manifest import Contents, read_manifest, write_manifest
from msgsync.protocol.meeting import Note, announcement_of, write_note
from msgsync.replica.mailing import Mailing
from msgsync.testing import assert_converged, assert_sound
from tests.unit.conftest import Opener
from tests.unit.locks import LockWatch
from tests.unit.machine import Machine
from tests.unit.protocol.test_courier import objects, texts, visit, visits

DAY_MS = 86_400_000


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints are due soon."""
    monkeypatch.setattr(limits, "CHECKPOINT_OBJECTS", 5)


def opened(replica: Replica, box: MemoryMailbox) -> dict[str, tuple[int, bytes]]:
    """Kind and body of every object in the mailbox, opened with all keys."""
    membership = replica.membership
    found = {}
    for name in objects(box):
        one = open_object(
            box.get(name), keyring=membership.keyring(), roster=membership.roster(), positions={}
        )
        found[name] = one.head.kind, one.body
    return found


def kinds(replica: Replica, box: MemoryMailbox) -> list[int]:
    return [kind for kind, _ in opened(replica, box).values()]


def chat(box: MemoryMailbox, phone: Replica, tablet: Replica, count: int) -> None:
    for number in range(count):
        for replica in (phone, tablet):
            replica.conversation("family").send(f"number {number} of {replica.path.name}")
            visit(replica, box)


def test_a_subscriber_is_not_called_under_the_lock_by_a_checkpoint(phone, box):
    visit(phone, box)
    watch = LockWatch(phone)
    phone.subscribe(watch)

    def covered(_seq: int) -> None:
        phone.bags[box.address].covered = True
        assert not Mailing(phone, box.address).checkpoint_due({})

    end = phone.on_commit(covered)
    phone.create_conversation("Family", id="family")
    end()
    assert watch.seen == [True]


# Becoming small.


def test_many_objects_are_replaced_by_a_checkpoint_and_go_a_week_later(
    machine: Machine, small, phone, tablet, laptop, family, box
):
    visits(box, phone, tablet)
    chat(box, phone, tablet, 4)
    assert Kind.MANIFEST in kinds(phone, box)
    before = objects(box)
    machine.clock_ms += 6 * DAY_MS
    visits(box, phone, tablet)
    assert set(before) <= set(objects(box))
    machine.clock_ms += 2 * DAY_MS
    visits(box, phone, tablet)
    assert len({*before} & {*objects(box)}) < len(before) / 2
    visit(laptop, box)
    assert_converged(phone, tablet, laptop)


def test_a_mailbox_does_not_grow_with_what_was_written_in_it(
    machine: Machine, small, phone, tablet, family, box
):
    visits(box, phone, tablet)
    sizes = []
    for _ in range(6):
        chat(box, phone, tablet, 5)
        machine.clock_ms += 8 * DAY_MS
        visits(box, phone, tablet, phone, tablet)
        sizes.append(len(objects(box)))
    assert max(sizes) < 30
    assert_converged(phone, tablet)


def test_a_device_that_was_away_goes_on_from_the_checkpoint(
    machine: Machine, small, phone, tablet, laptop, family, box
):
    visits(box, phone, tablet, laptop)
    chat(box, phone, tablet, 2)
    visit(laptop, box)
    laptop.conversation("family").send("from the laptop")
    chat(box, phone, tablet, 4)
    machine.clock_ms += 8 * DAY_MS
    visits(box, phone, tablet)
    chat(box, phone, tablet, 1)
    report = visit(laptop, box)
    assert report.complete
    visits(box, phone, tablet)
    assert_converged(phone, tablet, laptop)
    assert_sound(laptop)
    count = len(objects(box))
    visits(box, phone, tablet, laptop)
    assert len(objects(box)) == count  # nobody takes what was removed for lost


def test_what_is_not_covered_stays(machine: Machine, small, phone, tablet, laptop, family, box):
    visits(box, phone, tablet, laptop)
    real = box.list
    old = objects(box)
    laptop.conversation("family").send("phone does not see this yet")
    visit(laptop, box)
    [unseen] = set(objects(box)) - set(old)
    box.list = lambda folder: [one for one in real(folder) if one != unseen]
    chat(box, phone, tablet, 4)
    machine.clock_ms += 8 * DAY_MS
    visits(box, phone, tablet)
    box.list = real
    assert unseen in objects(box)
    visits(box, phone, tablet, laptop)
    assert_converged(phone, tablet, laptop)


# Erasing.


def test_erased_text_is_gone_from_the_mailbox(phone, tablet, laptop, family, box):
    secret = family.send("the secret word is swordfish")
    family.send("nothing special")
    visits(box, phone, tablet)
    tablet.conversation("family").edit(secret.id, "the secret word is still swordfish")
    visits(box, tablet, phone)
    assert any(b"swordfish" in body for _, body in opened(phone, box).values())
    family.erase(secret.id)
    visits(box, phone)
    found = opened(phone, box)
    assert not any(b"swordfish" in body for _, body in found.values())
    assert any(b"nothing special" in body for _, body in found.values())
    visits(box, tablet, laptop, phone)
    assert not any(b"swordfish" in body for _, body in opened(phone, box).values())
    assert_converged(phone, tablet, laptop)


def test_one_checkpoint_is_enough_for_an_erasure(
    machine: Machine, phone, tablet, laptop, family, box
):
    secret = family.send("swordfish")
    visits(box, phone, tablet, laptop)
    family.erase(secret.id)
    visits(box, phone)
    names = objects(box)
    for _ in range(4):
        machine.clock_ms += 2 * DAY_MS
        visits(box, tablet, laptop, phone)
    later = opened(phone, box)
    for name in later.keys() - set(names):  # signs of life alone
        kind, body = later[name]
        assert kind == Kind.BATCH
        assert not read_batch(read_piece(body)[0]).documents


def test_erasing_again_on_the_same_day_waits_for_the_next(
    machine: Machine, phone, tablet, family, box
):
    first, second = family.send("swordfish"), family.send("marlin")
    visits(box, phone, tablet)
    family.erase(first.id)
    visit(phone, box)
    family.erase(second.id)
    visit(phone, box)
    assert any(b"marlin" in body for _, body in opened(phone, box).values())
    machine.clock_ms += 2 * DAY_MS
    visit(phone, box)
    assert not any(b"marlin" in body for _, body in opened(phone, box).values())


def test_a_receipt_says_when_erased_text_is_gone_from_the_mailbox(
    machine: Machine, phone, tablet, family, box
):
    first, second = family.send("swordfish"), family.send("marlin")
    visits(box, phone, tablet)
    family.erase(first.id)
    [told] = phone.verify_erased(first.id).mailboxes
    assert (told.address, told.gone, told.due_ms) == (box.address, False, 0)
    visit(phone, box)
    visits(box, phone, tablet)
    for replica in (phone, tablet):
        assert replica.verify_erased(first.id).mailboxes[0].gone
    family.erase(second.id)
    visits(box, phone, phone)
    [told] = phone.verify_erased(first.id, second.id).mailboxes
    assert not told.gone
    assert told.due_ms is not None
    assert phone.verify_erased(first.id).mailboxes[0].gone
    machine.clock_ms = max(machine.clock_ms, told.due_ms)
    visits(box, phone, phone)
    assert phone.verify_erased().mailboxes[0].gone
    assert not any(b"marlin" in body for _, body in opened(phone, box).values())


def test_erased_text_that_comes_late_is_taken_out_and_no_receipt_hides_it(
    machine: Machine, phone, laptop, family, box
):
    secret = family.send("swordfish")
    visits(box, phone, laptop)
    there = set(objects(box))
    laptop.conversation("family").edit(secret.id, "a swordfish still")
    visit(laptop, box)
    late = {name: box.get(name) for name in set(objects(box)) - there}
    for name in late:
        box.delete(name)
    family.erase(secret.id)
    visits(box, phone, phone)
    assert phone.verify_erased(secret.id).mailboxes[0].gone
    for name, raw in late.items():
        box.put(name, raw)
    visit(phone, box)
    assert any(b"swordfish" in body for _, body in opened(phone, box).values())
    [told] = phone.verify_erased(secret.id).mailboxes
    assert not told.gone
    machine.clock_ms += 2 * DAY_MS
    visits(box, phone, phone)
    assert not any(b"swordfish" in body for _, body in opened(phone, box).values())
    assert phone.verify_erased(secret.id).mailboxes[0].gone


def test_what_comes_back_with_an_old_copy_of_the_mailbox_goes_again(phone, family, box):
    secret = family.send("swordfish")
    visit(phone, box)
    copy = {name: box.get(name) for name in objects(box)}
    family.erase(secret.id)
    visits(box, phone, phone)
    assert phone.verify_erased(secret.id).mailboxes[0].gone
    for name, raw in copy.items():
        box.put(name, raw)
    assert any(b"swordfish" in body for _, body in opened(phone, box).values())
    visit(phone, box)
    assert phone.verify_erased(secret.id).mailboxes[0].gone
    assert not any(b"swordfish" in body for _, body in opened(phone, box).values())


def test_a_device_lost_for_ever_blocks_nothing(phone, tablet, laptop, family, box):
    laptop.create_conversation("Mine", id="mine").send("swordfish")
    visits(box, laptop, phone)
    laptop.close()
    mine = phone.conversation("mine")
    mine.erase(next(iter(mine.messages())).id)
    visit(phone, box)
    assert not any(b"swordfish" in body for _, body in opened(phone, box).values())
    visit(tablet, box)
    assert_converged(phone, tablet)


# Breaking off, and two at once.


class Stops(MailboxError):
    """What a mailbox raises that stops here."""


def test_what_is_written_while_a_checkpoint_is_made_reaches_who_had_read_all_before(
    open_replica: Opener, monkeypatch, phone, tablet, family, box
):
    """Seed 1004634: it was in the checkpoint alone, which said that it added nothing; who read it took it for put."""
    monkeypatch.setattr(limits, "BATCH_FILL_BYTES", 1)
    for number in range(4):
        phone.create_conversation(id=f"number{number}").send("Hello")
    visits(box, phone, tablet)
    phone.conversation("number0").erase(next(iter(phone.conversation("number0").messages())))
    visit(tablet, box)
    errand = Courier(Mailing(phone, box.address)).run()
    request, written = next(errand), False
    with suppress(StopIteration):
        while True:
            if not written and isinstance(request, Put) and _is_of_checkpoint(request.name):
                for number in range(4):
                    phone.conversation(f"number{number}").send("in the middle")
                written = True
            request = errand.send(perform(box, request))
    late = open_replica("late.db", member=phone)  # and phone never comes again
    visits(box, late, tablet, late, tablet)
    assert any("in the middle" in texts(late, f"number{number}") for number in range(4))
    assert_converged(tablet, late)


def _is_of_checkpoint(name: str) -> bool:
    return name.startswith("log/") and is_checkpoint_name(name.split("/")[1])


@pytest.mark.parametrize("done", [False, True])
def test_a_checkpoint_that_breaks_off_anywhere_harms_nobody(
    open_replica: Opener, machine: Machine, phone, tablet, family, box, monkeypatch, done
):
    monkeypatch.setattr(limits, "BATCH_FILL_BYTES", 200)
    for number in range(4):
        phone.create_conversation(id=f"number{number}").send(f"swordfish {number}")
    after = 0
    visits(box, phone, tablet)
    for number in range(4):
        conversation = phone.conversation(f"number{number}")
        conversation.erase(next(iter(conversation.messages())).id)
    broken = True
    while broken:
        errand = Courier(Mailing(phone, box.address)).run()
        request, answer = next(errand), None
        try:
            for _ in range(after):
                try:
                    answer = perform(box, request)
                except MailboxError as error:
                    request = errand.throw(error)
                else:
                    request = errand.send(answer)
        except StopIteration:
            broken = False
        else:
            if done and isinstance(request, Put | Delete):
                perform(box, request)
            with pytest.raises(Stops):
                errand.throw(Stops("here"))
        after += 1
    assert after > 8
    visits(box, phone, tablet, phone)
    assert not any(b"swordfish" in body for _, body in opened(phone, box).values())
    late = open_replica("late.db", member=phone)
    visit(late, box)
    assert_converged(phone, tablet, late)


def test_a_checkpoint_that_is_not_there_as_it_was_put_replaces_nothing(phone, tablet, family, box):
    secret = family.send("swordfish")
    visits(box, phone, tablet)
    before = objects(box)
    family.erase(secret.id)
    real = box.put

    def losing(name: str, body: bytes) -> None:
        real(name, body[:-1] if name.startswith("log/") and len(objects(box)) > 1 else body)

    box.put = losing
    report = visit(phone, box)
    assert any("not there as it was put" in one for one in report.refused)
    assert set(before) <= set(objects(box))


def test_a_checkpoint_that_a_revoked_device_put_afterwards_covers_nothing(
    phone, tablet, family, box
):
    """Also if it was opened before that was heard of."""
    visits(box, phone, tablet)
    tablet.conversation("family").send("Hello")
    visits(box, tablet, phone)
    mailing = Mailing(phone, box.address)
    [(folder, read)] = [
        (folder, log) for folder, log in mailing.logs().items() if log.device == tablet.device
    ]
    phone.revoke(tablet.device, even_without_recovery=True)
    before = mailing.logs()
    covers = {name: LogEnd(log.device, log.position) for name, log in before.items()}
    later = read.position._replace(sequence=read.position.sequence + 1)
    with pytest.raises(NotAMember):
        mailing.cover(folder, read._replace(position=later), covers)
    assert mailing.logs() == before
    mailing.cover(folder, read, covers)
    assert mailing.logs() != before


def test_two_checkpoints_at_once_lose_nothing(
    machine: Machine, open_replica: Opener, monkeypatch, phone, tablet, laptop, family, box
):
    monkeypatch.setattr(limits, "CHECKPOINT_OBJECTS", 5)
    visits(box, phone, tablet, laptop)
    chat(box, phone, tablet, 2)
    for number in range(3):
        tablet.conversation("family").send(f"more {number}")
        visit(tablet, box)
    machine.clock_ms += 10 * DAY_MS
    for number in range(8):
        tablet.conversation("family").send(f"and more {number}")
    monkeypatch.setattr(limits, "BATCH_FILL_BYTES", 1)
    for number in range(8):
        tablet.create_conversation(f"number {number}").send("Hello")
    for _ in range(2):
        tablet.conversation("family").send("once more")
        visit(tablet, box)
    errands = [Courier(Mailing(replica, box.address)).run() for replica in (phone, laptop)]
    answers: list[object] = [None, None]
    left = {0, 1}
    while left:  # one request of each in turn
        for number in [*left]:
            try:
                request = errands[number].send(answers[number])
                answers[number] = perform(box, request)
            except StopIteration:
                left.discard(number)
    assert kinds(phone, box).count(Kind.MANIFEST) == 2
    machine.clock_ms += 8 * DAY_MS
    visits(box, phone, laptop)
    late = open_replica("late.db", member=phone)
    visits(box, tablet, late, phone, laptop, late)
    assert_converged(phone, tablet, laptop, late)


def test_a_manifest_counts_only_for_who_has_all_of_its_checkpoint(
    machine: Machine, small, phone, tablet, laptop, family, box, monkeypatch
):
    monkeypatch.setattr(limits, "BATCH_FILL_BYTES", 200)
    for number in range(3):
        phone.create_conversation(id=f"number{number}").send("Hello")
    visits(box, phone, tablet)
    chat(box, phone, tablet, 4)
    manifests = [name for name, (kind, _) in opened(phone, box).items() if kind == Kind.MANIFEST]
    folder = manifests[0].rsplit("/", 1)[0]
    first = box.list(folder)[0]
    body = box.get(first)
    box.delete(first)
    visit(laptop, box)
    with laptop.reading() as store:
        key = store.mailboxes.make(box.address, 0).key
        assert all(log.since > 0 for log in store.mailboxes.logs(key).values())
    box.put(first, body)
    visits(box, phone, tablet, laptop)
    assert_converged(phone, tablet, laptop)


# Manifests as bytes.

END = LogEnd(DeviceId(bytes(8)), Position(bytes(16), 3, bytes(32)))
CONTENTS = Contents(adds=False, newest=6, documents=3, messages=2, bytes=1000, places=8)


def head_with(ends: list[LogEnd], sequence: int = 9) -> Head:
    return Head(
        Kind.MANIFEST,
        bytes(32),
        DeviceId(bytes(8)),
        bytes(16),
        sequence,
        bytes(32),
        (bytes(32),),
        256,
        tuple(ends),
    )


def test_a_manifest_is_read_as_it_was_written():
    body, ends = write_manifest(4, {"a" * 32: END}, CONTENTS, ["b" * 32])
    manifest = read_manifest(head_with(ends), body)
    assert manifest == (4, {"a" * 32: END}, CONTENTS, ("b" * 32,))


@pytest.mark.parametrize(
    "plain",
    [
        [],
        [4],
        [4, []],
        [4, ["a" * 32]],
        [0, ["a" * 32], [*CONTENTS]],
        [10, ["a" * 32], [*CONTENTS]],
        [True, ["a" * 32], [*CONTENTS]],
        [4, ["A" * 32], [*CONTENTS]],
        [4, ["a" * 32 + "q"], [*CONTENTS]],
        [4, [b"a" * 32], [*CONTENTS]],
        [4, ["a" * 32] * 2, [*CONTENTS]],
        [4, 3, [*CONTENTS]],
        [4, ["a" * 32], [False, 6, 3, 2, 1000]],
        [4, ["a" * 32], [0, 6, 3, 2, 1000, 8]],
        [4, ["a" * 32], [False, 2, 3, 2, 1000, 8]],
        [4, ["a" * 32], [False, 9, 3, 2, 1000, 0]],
        [4, ["a" * 32], [False, 6, -3, 2, 1000, 8]],
        [4, ["a" * 32], [False, 6, 3, True, 1000, 8]],
        [4, ["a" * 32], [False, 6, 3, 2, 1000, 6]],
        [4, ["a" * 32], [False, 6, 3, 2, 1000, 9]],
        [4, ["a" * 32], 6],
    ],
)
def test_what_is_no_manifest_is_refused(plain):
    with pytest.raises(ObjectDamaged, match="cannot be read"):
        read_manifest(head_with([END]), cbor2.dumps(plain, canonical=True))


def test_nobody_without_the_keys_reads_any_of_it(open_replica: Opener, phone, family, box):
    family.send("Hello")
    visit(phone, box)
    stranger = open_replica("stranger.db").membership
    for name in objects(box):
        with pytest.raises(UnknownEpoch):
            open_object(
                box.get(name), keyring=stranger.keyring(), roster=stranger.roster(), positions={}
            )
    assert issubclass(UnknownEpoch, ObjectRefused)
    assert texts(phone) == ["Hello"]


# What goes with it.


def test_with_a_checkpoint_lost_key_objects_are_put_anew(
    machine: Machine, small, phone, tablet, family, box, tmp_path
):
    """That of the phrase above all: nobody else would notice before it is needed."""
    visits(box, phone, tablet)
    phrase = phone.recovery_phrase()
    assert phrase is not None
    name = key_object_name(RecoveryPhrase.parse(phrase).keys().public)
    box.delete(name)
    chat(box, phone, tablet, 4)
    assert Kind.MANIFEST in kinds(phone, box)
    assert box.get(name)
    with recover(tmp_path / "laptop.db", phrase, via=box, system=phone.system) as new:
        visits(box, new, phone)
        assert texts(new) == texts(phone)


def test_with_a_checkpoint_what_pairings_have_left_goes_a_day_later(
    machine: Machine, small, phone, tablet, family, box
):
    left, running = announcement_of("aa" * 16), announcement_of("bb" * 16)
    box.put(left, write_note(Note(machine.clock_ms - DAY_MS - 1, b"")))
    box.put(running, write_note(Note(machine.clock_ms, b"")))
    visits(box, phone, tablet)
    chat(box, phone, tablet, 4)
    assert box.list("pairing") == [running]
