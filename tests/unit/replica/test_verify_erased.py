"""Whatever form a message had, nothing is left of it once it is erased, and `verify_erased` says so by looking."""

from __future__ import annotations

from pathlib import Path

import pytest

import msgsync
from msgsync import Edit, Incoming, InvalidValue, MessageId, Reaction, limits
from msgsync.ids import ingested_id
from tests.unit import files
from tests.unit.machine import START_MS

OLD_MS = START_MS - 90 * 86_400_000
"""Old enough to be frozen as it is imported."""
WORD, EDITED, ANSWER, HAN = "zyxwvutsrq0987", "jihgfedcba6543", "ponmlkjihg2109", "秘密消息"
TEXT = f"the word is {WORD} {HAN}"
TRACES = [one.encode() for one in (WORD[-9:], EDITED[-9:], ANSWER[-9:], HAN, HAN[:2], HAN[2:])]
"""Index pages leave out what words begin with alike, so the ends of words are looked for; and parts of a dense text."""


def fillers(count: int, first_ms: int) -> list[Incoming]:
    return [
        Incoming("family", "ben", f"nothing {n}", first_ms + n, external_id=f"n{n}")
        for n in range(count)
    ]


def old(text: str = TEXT, **said: object) -> Incoming:
    return Incoming("family", "ben", text, OLD_MS, external_id="secret", **said)  # type: ignore[arg-type]


def in_the_log(phone, family):
    return family.send(TEXT).id


def in_a_pack(phone, family):
    one = Incoming("family", "ben", TEXT, START_MS - 5, external_id="secret")
    phone.ingest([*fillers(2 * limits.UNINDEXED_MESSAGES, START_MS - 10**6), one])
    return MessageId(ingested_id("family", "secret", START_MS - 5))


def frozen_at_import(phone, family):
    phone.ingest([*fillers(2 * limits.UNINDEXED_MESSAGES, OLD_MS - 10**6), old()])
    [[frozen]] = files.look(Path(phone.path), "select count(*) from documents where generation > 0")
    assert frozen
    return MessageId(ingested_id("family", "secret", OLD_MS))


def frozen_with_updates_beside_it(phone, family):
    one = frozen_at_import(phone, family)
    family.edit(one, f"no, {EDITED} {HAN}")
    family.react(one, "👍", user="cara")
    family.unreact(one, "👍", user="cara")
    return one


def told_with_its_edits(phone, family):
    edits = (Edit(f"{EDITED} {HAN}", OLD_MS), Edit(ANSWER, OLD_MS + 1))
    phone.ingest([old(edits=edits, reactions=(Reaction("ben", "x", OLD_MS),))])
    return MessageId(ingested_id("family", "secret", OLD_MS))


def edited_and_indexed(phone, family):
    one = family.send(TEXT)
    family.edit(one, f"no, {EDITED}")
    phone.ingest(fillers(2 * limits.UNINDEXED_MESSAGES, START_MS - 10**6))
    family.edit(one, f"no, {ANSWER} {HAN}")
    return one.id


def linked_with_its_echo(phone, family):
    one = family.send(TEXT)
    family.link(one, "echo", START_MS + 40)
    phone.ingest([Incoming("family", "ann", TEXT, START_MS + 40, external_id="echo")])
    family.edit(one, ANSWER)
    return one.id


def deleted_before(phone, family):
    one = edited_and_indexed(phone, family)
    family.delete(one)
    return one


def long_enough_for_pages_of_its_own(phone, family):
    one = family.send(TEXT + " x" * 20_000 + WORD)
    family.edit(one, f"{EDITED} " * 2000)
    phone.ingest(fillers(2 * limits.UNINDEXED_MESSAGES, START_MS - 10**6))
    return one.id


FORMS = [
    in_the_log,
    in_a_pack,
    frozen_at_import,
    frozen_with_updates_beside_it,
    told_with_its_edits,
    edited_and_indexed,
    linked_with_its_echo,
    deleted_before,
    long_enough_for_pages_of_its_own,
]


def remains(path: Path) -> list[object]:
    left = [word for word in files.words(path) if any(one.decode() in word for one in TRACES)]
    return [*files.remains(path, *TRACES), *left]


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_left_whatever_form_it_had(phone, family, tablet, form):
    one = form(phone, family)
    path, there = Path(phone.path), Path(tablet.path)
    msgsync.sync(phone, tablet)
    assert remains(path)
    assert remains(there)
    assert not phone.verify_erased(one).ok
    family.erase(one)
    assert remains(path) == []
    report = phone.verify_erased(one, text=WORD)
    assert report.ok
    assert report.checked == 1
    assert report.pages
    msgsync.sync(phone, tablet)
    assert remains(there) == []
    assert tablet.verify_erased(one, text=EDITED).ok
    assert phone.verify_erased().ok
    for replica in (phone, tablet):
        assert replica.check().ok
        replica.close()
        assert remains(Path(replica.path)) == []


def test_nothing_is_left_of_what_was_erased_before_it_came(phone, family, tablet):
    one = MessageId(ingested_id("family", "secret", OLD_MS))
    msgsync.sync(phone, tablet)
    tablet.conversation("family").erase(one)
    told_with_its_edits(phone, family)
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        assert remains(Path(replica.path)) == []
        assert replica.verify_erased(one, text=WORD).ok


def test_nothing_is_left_of_a_conversation_that_was_erased_nor_of_its_title(phone):
    secret = phone.create_conversation(TEXT, id="secret")
    secret.rename(EDITED)
    for n in range(10):
        secret.send(f"{ANSWER} {n}")
    path = Path(phone.path)
    assert remains(path)
    secret.delete_all(secret.preview_deletion().token)
    phone.empty_recently_deleted()
    assert remains(path) == []
    assert phone.verify_erased(text=ANSWER).ok
    phone.close()
    assert remains(path) == []


# What it finds.


@pytest.fixture
def gone(phone, family) -> str:
    """The text form of an id that was erased, in a replica that is closed."""
    kept = family.send("kept for ever")
    family.react(kept, "👍")
    one = family.send(TEXT)
    phone.ingest(fillers(2 * limits.UNINDEXED_MESSAGES, START_MS - 10**6))
    family.erase(one)
    assert phone.verify_erased(one.id).ok
    phone.close()
    return str(one.id)


@pytest.mark.parametrize(("sql", "said"), [
    ("insert into edits select document, id, 1, x'00', 'left', 0, null from erased", "rows of edits"),
    ("insert into reactions select document, id, 1, 'x', 1, x'00', 1, 0, null, x'00' from erased", "reactions"),
    ("insert into covered select document, id, 1, x'00' from erased", "rows of covered"),
    ("insert into messages select null, d.conversation, m.ms + 1, 0, substr(e.id, 7), 0, 1, 'left', null, null, 1"  # noqa: ISC004
     " from erased e join documents d on d.key = e.document join messages m on m.text = 'kept for ever'", "messages"),
    ("insert into search(rowid, text) values(999999, 'left')", "search index"),
    ("insert into log values(999 << 20, (select body from log limit 1))", "belongs to no document"),
    ("delete from updates where key = (select min(key) from updates)", "belong to no document"),
])  # fmt: skip
def test_what_is_left_in_rows_stored_parts_and_the_index_is_found(
    gone, tmp_path, open_replica, sql, said
):
    files.change(tmp_path / "phone.db", sql)
    report = open_replica().verify_erased(gone)
    assert not report.ok
    assert any(said in one for one in report.found), report.found


def test_an_entry_that_is_left_in_a_stored_part_is_found(phone, family, tmp_path, open_replica):
    one = family.send(TEXT)
    path = tmp_path / "phone.db"
    bodies = files.look(path, "select key, body from log")
    family.erase(one)
    phone.close()
    for key, body in bodies:
        files.change(path, "insert or replace into log values(?, ?)", key, body)
    report = open_replica().verify_erased(one.id, text=WORD)
    assert [said for said in report.found if str(one.id) in said]
    assert [said for said in report.found if said.startswith("part") and "the text" in said]
    assert not any(WORD in said for said in report.found)


def test_bytes_in_pages_that_nothing_uses_are_found(phone, family, tmp_path, open_replica):
    one = family.send(TEXT + "x" * 20_000)
    family.erase(one)
    free = phone.verify_erased(one.id).free_pages
    assert free
    phone.close()
    path = tmp_path / "phone.db"
    raw = bytearray(path.read_bytes())
    whole = bytes(raw)
    pages = [raw[at : at + 4096] for at in range(0, len(raw), 4096)]
    blank = next(number for number, page in enumerate(pages) if not page.strip(b"\0"))
    raw[blank * 4096 + 100] = 1
    path.write_bytes(raw)
    with open_replica() as again:
        assert again.verify_erased(one.id).found == (f"page {blank + 1}: bytes that nothing uses",)
    path.write_bytes(whole.replace(bytes(2000), WORD.encode() + bytes(2000 - len(WORD)), 1))
    with open_replica() as again:
        report = again.verify_erased(one.id, text=WORD)
        assert "phone.db: the text" in report.found
    path.write_bytes(whole)


@pytest.mark.parametrize("name", ["phone.db-journal", "phone.db.0a0b.part", "phone.db.damaged"])
def test_a_copy_beside_the_replica_is_found(gone, tmp_path, open_replica, name):
    (tmp_path / name).write_bytes(b"")
    (tmp_path / "phone.database").write_bytes(b"another program's")
    [found] = open_replica().verify_erased(gone).found
    assert found.startswith(f"{name}: a copy")


def test_an_id_that_is_not_erased_is_named(phone, family):
    one, other = family.send("hello"), family.send("gone")
    family.erase(other)
    report = phone.verify_erased(one.id, str(other.id))
    assert (report.checked, report.not_erased, report.ok) == (1, (one.id,), False)


def test_a_reader_in_another_connection_leaves_it_open(phone, family, open_replica):
    secret = family.send(TEXT)
    reader = open_replica("phone.db", readonly=True)
    with reader.reading() as store:
        store.database.one("select count(*) from messages")
        family.erase(secret)
        report = phone.verify_erased(secret.id)
        assert (report.pending, report.pages, report.ok) == (True, 0, False)
    assert phone.verify_erased(secret.id).ok
    assert reader.verify_erased(secret.id).ok
    family.send("now something lies in the log")
    assert reader.verify_erased(secret.id).pending


def test_a_text_has_to_be_long_enough_and_nobody_elses(phone, family):
    family.edit(family.send("the same words"), "other words")
    gone = family.send("the same words")
    family.erase(gone)
    for text in ("the same words", "other words", "short", "Family\ud800 and more"):
        with pytest.raises(InvalidValue):
            phone.verify_erased(gone.id, text=text)
    assert phone.verify_erased(gone.id, text="the same words, and more").ok
