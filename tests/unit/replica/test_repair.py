"""A damaged replica is made whole: what can be saved is, a peer gives the rest, and what is lost is named."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import msgsync
from msgsync import (
    Incoming,
    NotAReplica,
    ReadOnly,
    Replica,
    ReplicaDamaged,
    ReplicaLocked,
    SchemaTooOld,
    limits,
)
from msgsync.store.schema import VERSION
from tests.unit import files
from tests.unit.machine import START_MS

PAGE = 4096


def shown(replica: Replica) -> dict[str, list[msgsync.Message]]:
    return {
        one.id: [*replica.conversation(one.id).messages(limit=10_000)]
        for one in replica.conversations(include_deleted=True)
    }


@pytest.fixture
def filled(phone, family, tablet) -> dict[str, list[msgsync.Message]]:
    """What phone and tablet show; phone is closed."""
    first = family.send("first")
    for n in range(30):
        family.react(family.send(f"hello {n}"), "👍")
    family.edit(first, "edited")
    family.delete(first)
    family.erase(family.send("erased"))
    phone.ingest(
        [Incoming(f"c{n % 9}", "ben", f"{n} of many", START_MS - n, str(n)) for n in range(900)]
    )
    msgsync.sync(phone, tablet)
    phone.check()
    seen = shown(phone)
    phone.close()
    return seen


@pytest.fixture
def path(phone, filled) -> Path:
    return Path(phone.path)


def page_of(path: Path, table: str) -> int:
    """The number of a table's first page."""
    [[number]] = files.look(path, "select rootpage from sqlite_schema where name = ?", table)
    assert isinstance(number, int)
    return number


def wipe(path: Path, *numbers: int) -> None:
    """Overwrite pages with zeros, as a disk may that lost them."""
    with path.open("r+b") as file:
        for number in numbers:
            file.seek((number - 1) * PAGE)
            file.write(bytes(PAGE))


def test_a_replica_that_is_well_is_left_alone(path, open_replica, filled):
    before = path.read_bytes()
    with open_replica() as replica:
        report = replica.repair()
        assert (report.damaged, report.complete, report.kept, report.lost) == (
            False,
            True,
            None,
            (),
        )
        assert shown(replica) == filled
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.glob("phone.db.dam*")] == []


def test_a_file_of_an_older_version_becomes_one_of_this_version(path, filled):
    files.change(path, "drop table elsewhere")
    files.change(path, f"pragma user_version = {VERSION - 1}")
    with pytest.raises(SchemaTooOld):
        msgsync.open(path)
    report = msgsync.repair(path)
    assert report.complete
    assert report.kept is not None
    assert files.look(report.kept, "pragma user_version") == [(VERSION - 1,)]
    [problem] = report.problems
    assert "older msgsync" in problem
    with msgsync.open(path, author="ann", durability="relaxed") as replica:
        assert shown(replica) == filled
        assert replica.check().ok


@pytest.mark.parametrize("table", [
    "sqlite_schema", "meta", "secrets", "secrets_copy", "statements", "statements_copy", "state",
    "documents_id", "conversations", "authors", "messages", "messages_order",
    "messages_tail", "edits", "reactions", "deletions", "covered", "erased", "fields", "search_data", "updates",
    "packs", "log", "documents",
])  # fmt: skip
def test_nothing_is_lost_with_a_page_of_any_one_table(path, tablet, table, filled):
    """Each thing is there twice: documents and rows, tables and their indexes, or it follows from the rest."""
    wipe(path, 1 if table == "sqlite_schema" else page_of(path, table))
    report = msgsync.repair(path)
    assert report.damaged
    assert report.problems
    with msgsync.open(path, author="ann", durability="relaxed") as replica:
        assert replica.check().ok
        assert {**filled, **shown(replica)} == filled
        if table not in ("conversations", "documents"):
            assert shown(replica) == filled
        msgsync.sync(replica, tablet)
        assert shown(replica) == filled
        assert replica.digest == tablet.digest


def test_what_nobody_has_is_named_with_the_ids_that_are_known(
    phone, family, open_replica, tmp_path
):
    told = [family.send(f"hello {n} {os.urandom(9).hex()}") for n in range(60)]
    other = phone.create_conversation("Other", id="other")
    other.send("kept")
    phone.close()
    path = tmp_path / "phone.db"
    # The stored parts of one month, and the row of one of its messages.
    files.change(
        path, "delete from log where key >> 20 = (select key from documents where messages = 60)"
    )
    files.change(
        path,
        "delete from updates where key >> 20 = (select key from documents where messages = 60)",
    )
    files.change(path, "delete from messages where text = ?", told[7].text)
    report = msgsync.repair(path)
    [lost] = report.lost
    assert (lost.conversation, lost.kind, lost.messages) == ("family", "2024-01", 60)
    assert set(lost.ids) == {one.id for one in told} - {told[7].id}
    assert report.all_known
    assert not report.complete
    with open_replica() as again:
        assert [one.text for one in again.conversation("other").messages()] == ["kept"]
        assert again.conversation("family").title == "Family"
        assert not again.conversation("family").messages()


def test_a_document_is_put_together_from_rows_only_if_it_then_has_its_digest(
    path, open_replica, filled
):
    files.change(path, "update packs set body = zeroblob(length(body))")
    report = msgsync.repair(path)
    assert report.complete
    assert report.from_rows >= 9
    with open_replica() as replica:
        assert shown(replica) == filled
        replica.close()
    files.change(path, "update packs set body = zeroblob(length(body))")
    files.change(path, "update messages set text = 'forged' where text = '7 of many'")
    report = msgsync.repair(path)
    [lost] = report.lost
    assert lost.conversation == "c7"
    assert lost.messages == len(lost.ids) == 100
    with open_replica() as replica:
        assert "forged" not in str(shown(replica))
        assert {**filled, **shown(replica)} == filled


def test_a_peer_gives_what_was_lost_and_takes_nothing_wrong(path, open_replica, tablet, filled):
    files.change(path, "update packs set body = zeroblob(length(body))")
    files.change(path, "update messages set text = 'forged' where text = '7 of many'")
    with open_replica() as replica:
        device = replica.device
        report = replica.repair(tablet)
        assert report.complete
        assert report.synced is not None
        assert report.synced.complete
        assert report.messages == tablet.status().messages
        assert shown(replica) == shown(tablet) == filled
        assert replica.digest == tablet.digest
        assert replica.check().ok
        assert replica.device == device
        replica.conversation("family").send("goes on")
        msgsync.sync(replica, tablet)
        assert shown(replica) == shown(tablet)


def test_what_a_peer_does_not_have_either_is_still_named(path, open_replica, tablet, filled):
    with open_replica() as replica:
        late = replica.conversation("c7").send("the tablet never heard of it")
    files.change(path, "update packs set body = zeroblob(length(body))")
    files.change(path, "update messages set text = 'forged' where text = '7 of many'")
    files.change(path, "delete from log where key >> 20 in (select x.key from documents x join conversations c"
                       " on c.key = x.conversation where c.id = 'c7')")  # fmt: skip
    report = msgsync.repair(path, tablet)
    [lost] = report.lost
    assert (lost.conversation, lost.messages, lost.ids) == ("c7", 1, (late.id,))


def test_the_damaged_file_is_kept_and_named(path, open_replica, filled):
    wipe(path, page_of(path, "messages"))
    damaged = path.read_bytes()
    for name in ("phone.db.damaged", "phone.db.damaged2"):
        report = msgsync.repair(path)
        assert report.kept is not None
        assert report.kept == path.with_name(name)
        assert report.kept.read_bytes() == damaged
        path.write_bytes(damaged)
    left = {one.name for one in path.parent.glob("phone.db*")}
    assert left == {"phone.db", "phone.db.damaged", "phone.db.damaged2", "phone.db.lock"}


@pytest.fixture
def lossy(phone, family, tablet, tmp_path: Path) -> Path:
    """A closed replica that has lost the stored parts of its only month, of which the tablet has half."""
    for n in range(20):
        family.send(f"hello {n}")
    msgsync.sync(phone, tablet)
    for n in range(20, 40):
        family.send(f"hello {n}")
    phone.close()
    path = Path(phone.path)
    month = "(select key from documents where messages = 40)"
    for table in ("log", "updates"):
        files.change(path, f"delete from {table} where key >> 20 = {month}")
    files.change(path, "update messages set text = 'forged' where text = 'hello 30'")
    return path


def test_what_was_lost_is_named_until_it_comes_back(lossy, tablet, open_replica):
    report = msgsync.repair(lossy)
    [lost] = report.lost
    assert lost.messages == 40
    words = ("40 messages of family, 2024-01",)
    with open_replica() as replica:
        assert replica.status().lost == replica.check().lost == words
        assert replica.check().ok, "the file is well"
        assert replica.repair().lost == report.lost
        replica.backup(lossy.with_name("backup"))
    with open_replica() as replica:
        replica.conversation("family").send("goes on")
        assert replica.status().lost == words
        msgsync.sync(replica, tablet)
        assert replica.status().lost == replica.check().lost == ("20 messages of family, 2024-01",)
        again = replica.repair(tablet)
        assert not again.damaged
        assert not again.complete
        [left] = again.lost
        assert len(left.ids) == left.messages == 20


def test_what_came_back_whole_is_not_lost_any_more(path, open_replica, tablet, filled):
    files.change(path, "update packs set body = zeroblob(length(body))")
    files.change(path, "update messages set text = 'forged' where text = '7 of many'")
    assert msgsync.repair(path).lost
    with open_replica() as replica:
        assert replica.status().lost == ("100 messages of c7, 2024-01",)
        msgsync.sync(replica, tablet)
        assert replica.status().lost == replica.check().lost == ()
        assert shown(replica) == filled


def test_a_loss_that_was_accepted_is_not_named_any_more(lossy, tablet, open_replica):
    msgsync.repair(lossy)
    with open_replica() as replica:
        replica.accept_loss()
        assert replica.status().lost == replica.check().lost == ()
        assert replica.repair().complete
        msgsync.sync(replica, tablet)
        assert replica.status().lost == ()
    with open_replica(readonly=True) as replica, pytest.raises(ReadOnly):
        replica.accept_loss()


NO_TRACE = "more may be missing, of which no trace is left"


@pytest.fixture
def rowless(path: Path) -> Path:
    """A closed replica that has lost what says what its documents are, and what two of them are stored as."""
    lost = (
        "(select d.key from documents d join conversations c on c.key = d.conversation "
        "where d.messages > 0 and c.id in ('c3', 'family'))"
    )
    for table in ("log", "updates"):
        files.change(path, f"delete from {table} where key >> 20 in {lost}")
    files.change(path, "delete from messages where text like '% of many' or text like 'hello %'")
    files.change(path, "vacuum")  # else they are found in free space
    wipe(path, page_of(path, "documents"))
    return path


def test_a_document_whose_row_is_lost_is_not_empty(rowless, open_replica):
    report = msgsync.repair(rowless)
    lost = {one.conversation: one for one in report.lost if one.kind == "2024-01"}
    assert {"c3", "family"} <= lost.keys()
    assert (lost["c3"].messages, lost["c3"].ids) == (0, ())
    assert not report.all_known
    assert not report.complete
    with open_replica() as replica:
        assert "something of c3, 2024-01" in replica.status().lost
        assert replica.check().lost == replica.status().lost
        assert len(replica.status().lost) == len(report.lost) + 1


def test_what_has_its_digest_again_lacks_nothing(rowless, open_replica, tablet, filled):
    report = msgsync.repair(rowless, tablet)
    assert (report.complete, report.lost) == (True, ())
    with open_replica() as replica:
        assert replica.status().lost == replica.check().lost == ()
        assert shown(replica) == filled


def test_what_a_peer_had_is_no_proof_that_nothing_else_was_lost(
    rowless, open_replica, tablet, filled
):
    """Of what this device alone had."""
    tablet.conversation("family").send("since then")
    report = msgsync.repair(rowless, tablet)
    assert not report.all_known
    assert report.lost == ()
    with open_replica() as replica:
        assert replica.digest == tablet.digest
        assert replica.status().lost == (NO_TRACE,)
        replica.accept_loss()
        assert replica.status().lost == ()


def test_a_second_repair_does_not_forget_what_the_first_one_lost(lossy, open_replica):
    msgsync.repair(lossy)
    wipe(lossy, page_of(lossy, "messages_order"))
    report = msgsync.repair(lossy)
    assert report.damaged
    assert [one.messages for one in report.lost] == [40]
    with open_replica() as replica:
        assert replica.status().lost == ("40 messages of family, 2024-01",)
        assert replica.check().ok


def test_what_says_what_was_lost_may_be_lost_too(lossy, open_replica):
    msgsync.repair(lossy)
    files.change(lossy, "update meta set value = x'00' where name = 'lost'")
    with open_replica() as replica:
        assert replica.status().lost == (NO_TRACE,)


@pytest.fixture
def unclosed(phone, family, tmp_path: Path) -> Path:
    """A damaged file with a write-ahead log, and phone, whose copy it is."""
    family.send("hello")
    for name in ("phone.db", "phone.db-wal"):
        (tmp_path / name.replace("phone", "copy")).write_bytes((tmp_path / name).read_bytes())
    copy: Path = tmp_path / "copy.db"
    copy.chmod(0o600)
    with copy.open("r+b") as file:
        file.write(bytes(50))  # nobody can open it
    return copy


def content(path: Path) -> dict[str, bytes]:
    """A replica's file, and what else of it or of its repair lies beside it."""
    found = {one.name: one.read_bytes() for one in path.parent.glob(f"{path.name}*")}
    return {name: raw for name, raw in found.items() if not name.endswith(("-shm", ".lock"))}


@pytest.mark.parametrize("links", [True, False], ids=["with links", "without links"])
def test_a_repair_that_cannot_take_the_name_leaves_all_as_it_was(
    unclosed, phone, monkeypatch, links
):
    before = content(unclosed)
    assert before.keys() == {"copy.db", "copy.db-wal"}
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(msgsync.StorageError, match="cannot be used"):
            msgsync.repair(unclosed)
    assert content(unclosed) == before
    report = msgsync.repair(unclosed)
    assert report.complete
    kept = content(unclosed)
    assert kept.pop("copy.db") != before["copy.db"]
    assert kept == {name.replace(".db", ".db.damaged"): raw for name, raw in before.items()}
    assert report.kept is not None
    assert report.kept.stat().st_mode & 0o077 == 0
    with msgsync.open(unclosed) as again:
        assert again.account == phone.account


def refuse(*_: object) -> None:
    """What a file system says that does not do it."""
    raise OSError(errno.EIO, "it does not do that")


def test_a_repair_that_is_killed_before_it_takes_the_name_leaves_the_damaged_file_there(
    unclosed, phone
):
    """Else the next opening would make another replica of that name, and say nothing."""
    before = unclosed.read_bytes()
    killed = (
        "import os, pathlib, sys, msgsync\n"
        "pathlib.Path.replace = os.replace = lambda *_: os._exit(9)\n"
        "msgsync.repair(sys.argv[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", killed, unclosed], check=False, timeout=60)
    assert done.returncode == 9
    assert unclosed.read_bytes() == before
    kept = unclosed.with_name("copy.db.damaged")
    assert kept.read_bytes() == before
    with pytest.raises(msgsync.StorageError):
        msgsync.open(unclosed)
    kept.with_name("copy.db.damaged-wal").rename(unclosed.with_name("copy.db-wal"))
    assert msgsync.repair(unclosed).complete
    with msgsync.open(unclosed) as again:
        assert again.account == phone.account
        assert [one.text for one in again.conversation("family").messages()] == ["hello"]


def test_what_lay_in_the_write_ahead_log_is_saved_too(unclosed, open_replica):
    with pytest.raises(msgsync.StorageError):
        msgsync.open(unclosed)
    assert msgsync.repair(unclosed).complete
    with open_replica("copy.db") as again:
        assert [one.text for one in again.conversation("family").messages()] == ["hello"]


def test_what_was_erased_stays_erased(phone, family, tablet, tmp_path, open_replica):
    """Even if the document that says so is lost, its rows are believed."""
    secret = family.send("secret")
    msgsync.sync(phone, tablet)
    family.erase(secret)
    phone.close()
    path = tmp_path / "phone.db"
    files.change(path, "update log set body = x'00'")
    files.change(path, "update documents set digest = zeroblob(16)")
    msgsync.repair(path)
    with open_replica() as again:
        msgsync.sync(again, tablet)
        for replica in (again, tablet):
            with pytest.raises(msgsync.ErasedMessage):
                replica.message(secret.id)
            assert replica.verify_erased(secret.id, text="secret message").found == (
                () if replica is tablet else again.verify_erased(secret.id).found
            )


def members(replica: Replica) -> set[msgsync.DeviceId]:
    return {*replica.membership.roster().state.members}


def owner(path: Path) -> msgsync.DeviceId:
    with msgsync.open(path, readonly=True) as replica:
        return replica.device


KEYS = ("secrets", "secrets_copy")
ROSTER = ("statements", "statements_copy")


@pytest.mark.parametrize("tables", [KEYS, ROSTER, ("meta", *KEYS, *ROSTER)])
def test_a_file_that_does_not_say_whose_it_is_needs_a_device_of_the_account(
    path, tablet, filled, tables
):
    device = owner(path)
    wipe(path, *(page_of(path, table) for table in tables))
    before = path.read_bytes()
    with pytest.raises(NotAReplica, match="does not say whose replica"):
        msgsync.repair(path)
    assert path.read_bytes() == before
    assert [*path.parent.glob("*.part*")] == []
    report = msgsync.repair(path, tablet)
    assert report.complete
    with msgsync.open(path) as replica:
        assert replica.account == tablet.account
        assert shown(replica) == filled
        assert replica.check().ok
        assert (replica.device == device) == (tables == ROSTER), "a device is known by its keys"
        assert report.new_device == (None if tables == ROSTER else replica.device)
        assert replica.device in members(tablet)
        assert members(tablet) == members(replica)


def test_a_replica_that_is_open_is_repaired_though_it_lost_a_copy_of_its_keys(phone, family):
    family.send("kept")
    device, account, roster = phone.device, phone.account, phone.membership.roster()
    with phone.writing() as store:
        store.database.execute("delete from secrets_copy")
    assert not phone.check().ok
    assert phone.repair().complete
    assert (phone.device, phone.account, phone.membership.roster()) == (device, account, roster)
    assert phone.check().ok
    assert [one.text for one in phone.conversation("family").messages()] == ["kept"]


def test_another_accounts_file_is_not_made_a_part_of_this_one(path, tmp_path, filled):
    wipe(path, page_of(path, "messages"))
    before = path.read_bytes()
    with msgsync.open(tmp_path / "stranger.db") as stranger, pytest.raises(msgsync.AccountMismatch):
        msgsync.repair(path, stranger)
    assert path.read_bytes() == before


@pytest.mark.parametrize("raw", [b"\0" * 9000, b"%PDF-1.7 " * 600])
def test_a_file_that_is_no_replica_is_left_as_it_is(tmp_path, raw):
    path = tmp_path / "other"
    path.write_bytes(raw)
    with pytest.raises(NotAReplica):
        msgsync.repair(path)
    assert path.read_bytes() == raw
    with pytest.raises(msgsync.StorageError):
        msgsync.repair(tmp_path / "nothing")


def test_a_replica_that_is_open_elsewhere_or_for_reading_is_not_repaired(phone, open_replica):
    with pytest.raises(ReplicaLocked):
        msgsync.repair(phone.path)
    with pytest.raises(ReadOnly):
        open_replica("phone.db", readonly=True).repair()


def test_cursors_of_the_feed_end_and_deleted_messages_wait_their_whole_time_again(
    path, open_replica, machine, filled
):
    with open_replica() as replica:
        cursor = replica.cursor()
        replica.conversation("family").send("later")
    wipe(path, page_of(path, "messages"))
    machine.clock_ms += 86_400_000
    with open_replica() as replica:
        replica.repair()
        with pytest.raises(msgsync.StaleCursor):
            replica.changes(after=cursor)
        assert replica.recently_deleted()


def test_a_part_under_another_documents_key_is_not_taken_for_one_of_its_own(
    phone, family, open_replica, tmp_path
):
    family.send("for the family")
    phone.create_conversation("Other", id="other").send("for others")
    phone.close()
    path = tmp_path / "phone.db"
    months = files.look(path, "select key from documents where messages = 1 order by key")
    first, second = (int(str(key)) << 20 for [key] in months)
    files.change(path, "update log set key = ? where key = ?", first + 1, second)
    assert msgsync.repair(path).complete  # the rows say what was there
    with open_replica() as again:
        assert {name: [one.text for one in told] for name, told in shown(again).items()} == {
            "family": ["for the family"],
            "other": ["for others"],
        }


@pytest.mark.parametrize(
    ("column", "value"),
    [("digest", "'zz'"), ("digest", "x'00'"), ("lamport", "'x'"), ("lamport", "-1"), ("base", "7"),
     ("messages", "x'01'"), ("log_rows", "-2"), ("merged", "0.5")],
)  # fmt: skip
def test_a_replica_with_a_row_that_cannot_be_is_repaired_while_it_is_open(
    phone, family, column, value
):
    family.send("hello")
    other = phone.create_conversation("Other", id="other")
    seen = shown(phone)
    files.change(
        Path(phone.path),
        f"update documents set {column} = {value} where key = (select max(key) from documents)",
    )
    phone.conversation("other")
    report = phone.repair()
    assert report.damaged
    assert report.complete
    assert shown(phone) == seen
    assert phone.check().ok
    phone.conversation("family").send("goes on")
    assert other.id in shown(phone)


def test_a_damaged_replica_is_kept_as_it_was_when_it_was_open(phone, family, tmp_path):
    """Not folded, and its log not moved into it: that would go by what is damaged."""
    for n in range(40):
        family.send(f"hello {n}")
    files.change(Path(phone.path), "update documents set messages = 7 where messages = 40")
    before = content(tmp_path / "phone.db")
    assert before.keys() == {"phone.db", "phone.db-wal"}
    report = phone.repair()
    assert report.damaged
    assert content(tmp_path / "phone.db.damaged") == {
        name.replace(".db", ".db.damaged"): raw for name, raw in before.items()
    }
    assert len(family.messages(limit=100)) == 40


def test_how_often_devices_began_anew_is_still_known(path, open_replica, tablet, machine, filled):
    """Else what the replica hears of a device's earlier store would hold against what it knew."""
    devices = "select device, renewals from peers order by device"
    files.change(path, "update peers set renewals = 3 where device = ?", tablet.device.raw)
    with open_replica() as replica:
        own = replica.device.raw
        files.change(path, "update peers set renewals = 2 where device = ?", own)
    wipe(path, page_of(path, "messages"))
    before = files.look(path, devices)
    assert {3, 2} == {count for _, count in before}
    msgsync.repair(path)
    assert files.look(path, devices) == before
    with open_replica() as replica, replica.reading() as store:
        known = store.standings()
        assert known[tablet.device.raw].renewals == 3
        assert known[own].renewals == 3  # as another store once more


@pytest.mark.parametrize("limit", ["VALUE_BYTES", "DOCUMENT_BYTES"])
def test_a_document_that_cannot_be_taken_in_is_named_and_the_others_are_saved(
    phone, family, tablet, tmp_path, monkeypatch, limit
):
    """As what another version wrote, with other limits: in the form in which it was saved it is not admitted."""
    family.send("hello")
    other = phone.create_conversation("Other", id="other")
    large = other.send("short")
    other.edit(large, os.urandom(3000).hex())
    msgsync.sync(phone, tablet)
    phone.close()
    path = tmp_path / "phone.db"
    files.change(path, "update log set body = zeroblob(length(body))")
    with monkeypatch.context() as patch:
        patch.setattr(limits, limit, 4000)
        report = msgsync.repair(path)
        [lost] = report.lost
        assert (lost.conversation, lost.kind, lost.messages) == ("other", "2024-01", 1)
        assert report.all_known
    with msgsync.open(path) as again:
        assert shown(again) == {"family": shown(tablet)["family"], "other": []}
        msgsync.sync(again, tablet)
        assert shown(again) == shown(tablet)


def test_subscribers_are_told_everything_anew(path, open_replica, filled):
    wipe(path, page_of(path, "messages_order"))
    with open_replica() as replica:
        told: list[msgsync.Change] = []
        replica.subscribe(told.extend)
        replica.repair()
        texts = {change.message.text for change in told if change.message is not None}
        assert {"hello 7", "7 of many"} <= texts
        replica.conversation("family").send("later")
        assert told[-1].kind == "conversation"
        assert "later" in {change.message.text for change in told if change.message is not None}


def test_a_link_to_a_replica_stays_one(path, tmp_path, filled):
    wipe(path, page_of(path, "messages"))
    link = tmp_path / "link.db"
    link.symlink_to(path)
    report = msgsync.repair(link)
    assert link.is_symlink()
    assert report.kept == path.with_name("phone.db.damaged")
    with msgsync.open(link) as replica:
        assert replica.check().ok


# Damage is not spread.


def test_a_document_of_which_a_part_is_missing_is_named_and_not_given_away(
    path, open_replica, tablet, filled
):
    files.change(path, "delete from log where key = (select max(key) from log)")
    with open_replica() as replica:
        fresh = open_replica("fresh.db", member=replica)
        with pytest.raises(
            ReplicaDamaged, match=r"family .*: .*not all of it is there.*run repair"
        ):
            msgsync.sync(replica, fresh)
        assert fresh.check().ok
        replica.repair(tablet)
        assert msgsync.sync(replica, fresh).complete


@pytest.mark.parametrize("name", ["conversations", "sqlite_autoindex_conversations_1"])
def test_a_conversation_whose_name_was_damaged_is_not_given_away_under_it(
    path, open_replica, tablet, filled, name
):
    """The name lies in a table and in its index; in one of them it is not what it was."""
    start = (page_of(path, name) - 1) * PAGE
    raw = path.read_bytes()
    page = raw[start : start + PAGE]
    assert page.count(b"family") == 1
    path.write_bytes(raw[:start] + page.replace(b"family", b"gamily") + raw[start + PAGE :])
    with open_replica() as replica:
        assert not replica.check().ok
        with suppress(msgsync.UnknownConversation):
            replica.conversation("family").send("more")
        fresh = open_replica("fresh.db", member=replica)
        with pytest.raises(ReplicaDamaged, match="run repair"):
            msgsync.sync(replica, fresh)
        with suppress(ReplicaDamaged):  # if both say that they are equal nothing is given away
            msgsync.sync(replica, tablet)
        assert {one.id for one in fresh.conversations()} <= filled.keys() - {"family"}
        assert shown(tablet) == filled
        assert replica.repair(tablet).complete
        assert shown(replica) == shown(tablet)
        assert shown(tablet).keys() == filled.keys()
