"""Erasing an attachment while its message stays: everywhere, for good, whatever comes in which order."""

from __future__ import annotations

import shutil

import pytest

import msgsync
from msgsync import (
    Attach,
    Attachment,
    AttachmentGone,
    AttachmentState,
    ErasedMessage,
    InvalidValue,
    Message,
    Replica,
    UnknownMessage,
    limits,
)
from tests.unit.conftest import Opener
from tests.unit.replica.test_attachments import count, files_of, is_tidy, mine, noise

CHUNK = limits.CHUNK_BYTES
PREVIEW = b"a small picture of it"


@pytest.fixture
def photo(family: msgsync.Conversation) -> Message:
    attach = Attach(noise(2 * CHUNK + 5), "a.png", "image/png", 640, 480, 12, PREVIEW)
    return family.send("look", attachments=[attach, b"small"])


def first_of(replica: Replica, message: Message) -> Attachment:
    return replica.message(message.id).attachments[0]


def assert_gone(replica: Replica, message: Message) -> None:
    """Nothing is left of the first attachment but what it was called; the second one is as it was."""
    gone, other = replica.message(message.id).attachments
    assert gone.state is AttachmentState.GONE
    assert (gone.number, gone.name, gone.media_type, gone.size) == (
        1,
        "a.png",
        "image/png",
        2 * CHUNK + 5,
    )
    assert (gone.width, gone.height, gone.duration_ms) == (640, 480, 12)
    assert (gone.digest, gone.preview, gone.bytes_here) == ("", None, 0)
    assert other.open(timeout=0).read() == b"small"
    assert len(files_of(replica)) == 1
    assert is_tidy(replica)
    report = replica.verify_erased(message.id)
    assert report.ok, report
    assert report.attachments == 1
    assert PREVIEW not in b"".join(
        one.read_bytes()
        for one in replica.path.parent.glob(replica.path.name + "*")
        if one.is_file()
    )
    assert replica.check().ok, replica.check().problems


def test_the_message_stays_and_says_so_and_the_bytes_go(phone, family, photo):
    cursor = phone.changes().cursor
    shown = family.erase_attachment(photo.id, photo.attachments[0])
    assert shown.text == "look"
    assert shown == mine(phone, photo)
    assert_gone(phone, photo)
    [change] = [one for one in phone.changes(after=cursor) if one.kind == "message"]
    assert change.message == shown
    assert [hit.id for hit in phone.search("look")] == [photo.id]


def test_on_all_devices(phone, tablet, family, photo):
    msgsync.sync(phone, tablet)
    assert len(files_of(tablet)) == 4
    tablet.conversation("family").erase_attachment(photo, first_of(tablet, photo))
    assert msgsync.sync(phone, tablet).complete
    for replica in (phone, tablet):
        assert_gone(replica, photo)


def test_also_where_the_message_comes_later(phone, tablet, family, photo):
    family.erase_attachment(photo, photo.attachments[0])
    assert msgsync.sync(phone, tablet).complete
    assert_gone(tablet, photo)


def test_erasing_it_again_or_on_two_devices_is_nothing_more(phone, tablet, family, photo):
    msgsync.sync(phone, tablet)
    for _ in range(2):
        for replica in (phone, tablet):
            replica.conversation("family").erase_attachment(photo, photo.attachments[0])
    before = phone.digest
    msgsync.sync(phone, tablet)
    assert phone.digest == tablet.digest == before
    assert_gone(tablet, photo)


def test_two_devices_that_erase_one_each(phone, tablet, family, photo):
    msgsync.sync(phone, tablet)
    family.erase_attachment(photo, photo.attachments[0])
    tablet.conversation("family").erase_attachment(photo, photo.attachments[1])
    assert msgsync.sync(phone, tablet).complete
    for replica in (phone, tablet):
        states = {one.state for one in replica.message(photo.id).attachments}
        assert states == {AttachmentState.GONE}
        assert not files_of(replica)
        assert replica.check().ok
        assert replica.verify_erased().attachments == 2


@pytest.mark.parametrize("form", ["live", "frozen here", "frozen there", "frozen on both"])
def test_whatever_form_the_month_is_stored_in(machine, phone, tablet, family, photo, form):
    msgsync.sync(phone, tablet)
    machine.clock_ms += 90 * 86_400_000
    if form in ("frozen here", "frozen on both"):
        phone.compact()
    if form in ("frozen there", "frozen on both"):
        tablet.compact()
    family.erase_attachment(photo, photo.attachments[0])
    assert_gone(phone, photo)
    tablet.conversation("family").react(photo.id, "👍")
    tablet.conversation("family").edit(photo.id, "look here")
    assert msgsync.sync(phone, tablet).complete
    for replica in (phone, tablet):
        assert_gone(replica, photo)
        assert replica.message(photo.id).text == "look here"
        replica.compact()
        assert_gone(replica, photo)
    assert phone.digest == tablet.digest


def test_a_backup_brings_nothing_back(phone, tablet, family, photo, tmp_path):
    msgsync.sync(phone, tablet)
    tablet.backup(tmp_path / "backup")
    folder = files_of(tablet)[0].parent.parent
    shutil.copytree(folder, tmp_path / "old.db.attachments")
    tablet.close()
    family.erase_attachment(photo, photo.attachments[0])
    with msgsync.restore(tmp_path / "backup", tmp_path / "old.db") as old:
        assert first_of(old, photo).open().read() == noise(2 * CHUNK + 5)
        assert msgsync.sync(old, phone).complete
        for replica in (phone, old):
            assert_gone(replica, photo)


def test_nor_does_an_import_of_what_was_exported_before(phone, tablet, family, photo, tmp_path):
    msgsync.export_jsonlines(phone, tmp_path / "all.jsonl")
    family.erase_attachment(photo, photo.attachments[0])
    msgsync.import_jsonlines(phone, tmp_path / "all.jsonl")
    assert_gone(phone, photo)
    msgsync.import_jsonlines(tablet, tmp_path / "all.jsonl")  # which has not heard of it
    assert first_of(tablet, photo).state is AttachmentState.DOWNLOADING
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        assert_gone(replica, photo)
        assert replica.status().differing == 0


def test_an_export_says_that_it_is_gone_and_an_import_keeps_it_so(
    phone, family, photo, tmp_path, open_replica: Opener
):
    msgsync.export_jsonlines(phone, tmp_path / "before.jsonl")
    family.erase_attachment(photo, photo.attachments[0])
    msgsync.export_jsonlines(phone, tmp_path / "after.jsonl")
    other = open_replica("other.db")
    msgsync.import_jsonlines(other, tmp_path / "after.jsonl")
    assert mine(other, photo).attachments == mine(phone, photo).attachments
    assert first_of(other, photo).state is AttachmentState.GONE
    msgsync.import_jsonlines(other, tmp_path / "before.jsonl")
    assert first_of(other, photo).state is AttachmentState.GONE
    assert other.check().ok


def test_what_another_message_has_too_stays_until_that_is_erased(phone, family, photo):
    other = family.send("again", attachments=[noise(2 * CHUNK + 5)])
    family.erase_attachment(photo, photo.attachments[0])
    assert first_of(phone, photo).state is AttachmentState.GONE
    assert first_of(phone, other).open().read() == noise(2 * CHUNK + 5)
    family.erase_attachment(other, other.attachments[0])
    assert_gone(phone, photo)


def test_it_can_be_sent_anew(phone, tablet, family, photo):
    family.erase_attachment(photo, photo.attachments[0])
    anew = family.send("again", attachments=[noise(2 * CHUNK + 5)])
    msgsync.sync(phone, tablet)
    assert first_of(tablet, anew).open().read() == noise(2 * CHUNK + 5)
    assert first_of(tablet, photo).state is AttachmentState.GONE


def test_with_its_message_erased_nothing_is_said_of_it_any_more(phone, tablet, family, photo):
    family.erase_attachment(photo, photo.attachments[0])
    msgsync.sync(phone, tablet)
    family.erase(photo)
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        assert count(replica, "gone") == 0
        assert not files_of(replica)
        assert replica.check().ok
    with pytest.raises(ErasedMessage):
        family.erase_attachment(photo, photo.attachments[0])


def test_deleting_brings_the_bytes_back_elsewhere_and_erasing_never(phone, tablet, family, photo):
    msgsync.sync(phone, tablet)
    family.delete(photo)
    msgsync.sync(phone, tablet)
    there = tablet.conversation("family")
    there.restore(photo)
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        assert first_of(replica, photo).open().read() == noise(2 * CHUNK + 5)
    family.delete(photo)
    family.erase_attachment(photo, photo.attachments[0])  # of a message in Recently Deleted
    msgsync.sync(phone, tablet)
    there.restore(photo)
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        assert_gone(replica, photo)


def test_of_two_messages_that_are_one_it_goes_with_both(phone, tablet, family, photo):
    msgsync.sync(phone, tablet)
    echo = phone.ingest(
        msgsync.Incoming(
            "family", "ann", "look", photo.sent_ms + 5, "17",
            attachments=tuple(one.record for one in photo.attachments),
        )
    )  # fmt: skip
    assert echo.added == 1
    family.link(photo.id, "17", photo.sent_ms + 5)
    family.erase_attachment(photo, photo.attachments[0])
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        assert first_of(replica, photo).state is AttachmentState.GONE
        assert len(files_of(replica)) == 1
        assert replica.check().ok


def test_what_is_gone_cannot_be_read_and_says_why(phone, family, photo, tmp_path):
    attachment = photo.attachments[0]
    family.erase_attachment(photo, attachment)
    for stale_or_not in (attachment, first_of(phone, photo)):
        with pytest.raises(AttachmentGone, match=r"a\.png"):
            stale_or_not.open().read()
        with pytest.raises(AttachmentGone):
            stale_or_not.ensure_local(timeout=0)
        with pytest.raises(AttachmentGone):
            stale_or_not.save(tmp_path / "saved.png")
    assert not (tmp_path / "saved.png").exists()


def test_an_attachment_of_another_message_is_refused(phone, family, photo):
    other = family.send("other", attachments=[b"another"])
    with pytest.raises(InvalidValue, match="no attachment 1 called"):
        family.erase_attachment(photo, other.attachments[0])
    with pytest.raises(InvalidValue, match="no attachment 2 called"):
        family.erase_attachment(other, photo.attachments[1])
    elsewhere = phone.create_conversation("Work")
    with pytest.raises(UnknownMessage):
        elsewhere.erase_attachment(photo, photo.attachments[0])
    assert first_of(phone, photo).open().read() == noise(2 * CHUNK + 5)
