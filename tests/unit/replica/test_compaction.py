"""Freezing what is hardly written to any more, and giving space back."""

from __future__ import annotations

import pytest

import msgsync
from msgsync import Incoming, ReadOnly, limits
from tests.unit import files
from tests.unit.machine import START_MS, Machine
from tests.unit.work import Work, work_of

DAY_MS = 86_400_000
OLD_MS = START_MS - 400 * DAY_MS


def forms(replica):
    """By kind: how many parts a document is stored as, and how often it was frozen."""
    with replica.reading() as store:
        return {
            row.id.kind: (row.log_rows, row.label.generation) for row in store.documents.select("")
        }


def texts(replica, conversation="family"):
    return [message.text for message in replica.conversation(conversation).messages(limit=1000)]


def test_a_month_that_has_long_been_over_is_imported_frozen(phone):
    phone.ingest(Incoming("family", "ben", f"m{n}", OLD_MS + n, str(n)) for n in range(5))
    phone.ingest(Incoming("family", "ben", "now", START_MS, "now"))
    assert forms(phone) == {"2022-12": (1, 1), "2024-01": (1, 0)}
    assert texts(phone) == ["m0", "m1", "m2", "m3", "m4", "now"]
    assert phone.check().ok


def test_what_is_written_into_a_frozen_month_lies_beside_it_until_it_is_frozen_again(
    phone, machine
):
    phone.ingest(Incoming("family", "ben", f"m{n}", OLD_MS + n, str(n)) for n in range(5))
    family = phone.conversation("family")
    first, second, *_ = family.messages()
    family.edit(first.id, "mended")
    family.react(second.id, "👍")
    assert forms(phone) == {"2022-12": (3, 1)}
    before = phone.digest
    report = phone.compact()
    assert (report.frozen, report.left) == (1, ())
    assert forms(phone) == {"2022-12": (1, 2)}
    assert phone.digest == before
    assert texts(phone) == ["mended", "m1", "m2", "m3", "m4"]
    assert phone.check().ok
    assert phone.compact().frozen == 0


def test_the_present_month_is_not_frozen_and_another_one_only_when_it_has_been_quiet(
    phone, family, machine
):
    family.send("in january")
    assert phone.compact().frozen == 0
    machine.clock_ms += 20 * DAY_MS  # over, but changed lately
    assert phone.compact().frozen == 0
    machine.clock_ms += 20 * DAY_MS
    assert phone.compact().frozen == 2
    assert forms(phone) == {"head": (1, 1), "2024-01": (1, 1)}


def test_a_clock_far_ahead_when_it_was_changed_does_not_keep_a_month_from_freezing(
    phone, family, machine
):
    family.send("dated right")
    [message] = family.messages()
    machine.clock_ms += 3650 * DAY_MS
    family.edit(message.id, "dated in 2034")
    machine.clock_ms -= 3600 * DAY_MS
    assert phone.compact().frozen == 2


def test_a_month_of_many_writers_is_frozen_on_closing_whatever_its_age(open_replica):
    with open_replica() as phone:
        phone.create_conversation("Family", id="family")
    for number in range(limits.FREEZE_WRITERS + 30):
        with open_replica() as phone:
            phone.conversation("family").send(f"m{number}")
    with open_replica() as phone:
        [row] = [form for kind, form in forms(phone).items() if kind != "head"]
        assert row[1] == 1
        with phone.reading() as store:
            assert max(one.writers for one in store.documents.select("")) <= limits.FREEZE_WRITERS
        assert len(texts(phone)) == limits.FREEZE_WRITERS + 30
        assert phone.check().ok


def test_ten_thousand_read_marks_of_many_openings_leave_one_entry(open_replica):
    with open_replica() as phone:
        family = phone.create_conversation("Family", id="family")
        family.send("read me")
    for _ in range(limits.FREEZE_WRITERS + 10):
        with open_replica() as phone:
            phone.conversation("family").mark_unread()
            phone.conversation("family").mark_read()
    with open_replica() as phone:
        phone.compact()
        with phone.reading() as store:
            [head] = [row for row in store.documents.select("") if row.id.kind == "head"]
            assert head.bytes < 20_000
        assert phone.check().ok


def test_freezing_happens_by_itself_on_closing_once_a_day(open_replica, machine):
    with open_replica() as phone:
        phone.create_conversation("Family", id="family").send("in january")
    machine.clock_ms += 62 * DAY_MS
    with open_replica() as phone:
        phone.create_conversation("Work", id="work")
    with open_replica() as phone:
        assert forms(phone)["2024-01"] == (1, 1)
        phone.conversation("family").send("in april")
        machine.clock_ms += DAY_MS // 2
    with open_replica() as phone:
        with phone.reading() as store:
            [[tidied_ms]] = store.database.execute(
                "select value from meta where name = 'tidied_ms'"
            )
        assert tidied_ms == machine.clock_ms - DAY_MS // 2, "looked for work twice a day"


class Slow(Machine):
    """A machine on which time passes whenever somebody looks at the clock."""

    pace_ms = 0

    def now_ms(self) -> int:
        self.clock_ms += self.pace_ms
        return self.clock_ms


def test_what_takes_longer_than_a_moment_goes_on_at_the_next_opportunity(open_replica, monkeypatch):
    monkeypatch.setattr(limits, "FRAME_FILL_BYTES", 1)
    machine = Slow()
    phone = open_replica(system=machine)
    for number in range(4):
        phone.create_conversation("x", id=f"c{number}")
    machine.clock_ms += 62 * DAY_MS
    machine.pace_ms = limits.TIDY_MS // 2
    frozen: list[int] = []
    while frozen[-1:] != [4]:
        phone.tidy()
        with phone.reading() as store:
            frozen.append(sum(row.is_frozen for row in store.documents.select("")))
    assert frozen == [1, 2, 3, 4]


def test_a_document_that_takes_long_is_left_to_compact_whatever_its_size(
    open_replica, machine, monkeypatch
):
    monkeypatch.setattr(limits, "TIDY_DOCUMENT_BYTES", 1_000)
    found: list[Work] = []
    for count in (50, 500):
        phone = open_replica(f"{count}.db")
        phone.ingest(
            Incoming("large", "ben", f"m{n}", machine.clock_ms + n, str(n)) for n in range(count)
        )
        phone.ingest([Incoming("small", "ben", "m", machine.clock_ms, "m")])
        machine.clock_ms += 62 * DAY_MS
        found.append(work_of(phone, phone.tidy))
        machine.clock_ms -= 62 * DAY_MS
        with phone.reading() as store:
            frozen = {row.id.conversation for row in store.documents.select("") if row.is_frozen}
        assert frozen == {"small"}
        machine.clock_ms += 62 * DAY_MS
        assert phone.compact().frozen == 1
        machine.clock_ms -= 62 * DAY_MS
    assert found[0].calls == found[1].calls
    assert found[0].statements == found[1].statements


def test_space_that_became_free_is_given_back(phone):
    phone.ingest(
        Incoming("family", "ben", f"m{n} " + "x" * 900, OLD_MS + n, str(n)) for n in range(3000)
    )
    phone.conversation("family").erase(
        *[m.id for m in phone.conversation("family").messages(limit=2900)]
    )
    seen: list[msgsync.CompactionProgress] = []
    report = phone.compact(on_progress=seen.append)
    assert report.bytes_after < report.bytes_before / 2
    assert phone.path.stat().st_size == report.bytes_after
    assert len(texts(phone)) == 100
    assert phone.check().ok


def test_a_small_file_is_made_smaller_as_well(phone):
    """What is free in it is no megabyte."""
    phone.ingest(Incoming("family", "ben", f"m{n}", OLD_MS + n, str(n)) for n in range(1000))
    whole = phone.compact()
    assert whole.bytes_after < whole.bytes_before, "what lay in the log counts"
    family = phone.conversation("family")
    family.erase(*[one.id for one in family.messages(limit=1000)])
    report = phone.compact()
    assert phone.verify_erased().free_pages == 0
    assert report.bytes_after < whole.bytes_after


def test_progress_counts_documents_up_to_their_total(phone):
    for number in range(3):
        phone.ingest(Incoming(f"c{number}", "ben", "m", OLD_MS, "1"))
        [message] = phone.conversation(f"c{number}").messages()
        phone.conversation(f"c{number}").edit(message.id, "mended")
    seen: list[msgsync.CompactionProgress] = []
    phone.compact(on_progress=seen.append)
    assert (seen[-1].documents, seen[-1].documents_total) == (3, 3)


def test_a_document_that_cannot_be_read_is_named_and_the_others_are_frozen(open_replica, machine):
    with open_replica() as phone:
        for number in range(3):
            phone.ingest(Incoming(f"c{number}", "ben", "m" * 50, START_MS, "1"))
    path = phone.path
    with files.database(path) as connection:
        [[key, body]] = list(connection.execute("select key, body from log order by key limit 1"))
        connection.execute("update log set body = ? where key = ?", (body[:-4] + b"oops", key))
    machine.clock_ms += 62 * DAY_MS
    with open_replica() as phone:
        report = phone.compact()
        assert report.frozen == 2
        [left] = report.left
        assert left.startswith("c0 2024-01: ")
        assert len(texts(phone, "c1")) == 1
    with files.database(path) as connection:
        assert list(connection.execute("select count(*) from log where key = ?", (key,))) == [(1,)]


def test_a_replica_open_for_reading_cannot_be_compacted(phone, open_replica):
    phone.close()
    with open_replica(readonly=True) as reader, pytest.raises(ReadOnly):
        reader.compact()


def test_a_frozen_replica_and_one_that_is_not_exchange_what_is_missing(
    phone, tablet, family, machine
):
    first = family.send("one")
    family.send("two")
    msgsync.sync(phone, tablet)
    machine.clock_ms += 62 * DAY_MS
    phone.compact()
    there = tablet.conversation("family")
    there.edit(first.id, "one!")
    msgsync.sync(phone, tablet)
    assert texts(phone) == texts(tablet) == ["one!", "two"]
    assert phone.digest == tablet.digest
    family.react(first.id, "👍")
    msgsync.sync(phone, tablet)
    assert forms(phone)["2024-01"][1] == forms(tablet)["2024-01"][1] == 1, (
        "the greater form is taken over"
    )
    assert phone.digest == tablet.digest


def test_two_that_froze_the_same_apart_go_on_with_what_changed_alone(
    phone, tablet, family, machine
):
    for number in range(300):
        family.send(f"number {number} " + "x" * 100)
    first = family.messages(limit=1000)[0]
    msgsync.sync(phone, tablet)
    machine.clock_ms += 62 * DAY_MS
    phone.compact()
    tablet.compact()
    tablet.conversation("family").edit(first.id, "mended")
    report = msgsync.sync(phone, tablet)
    assert report.bytes_received < 2_000
    assert texts(phone)[-300] == "mended"


def test_an_old_copy_that_never_froze_brings_back_nothing_that_was_erased(
    open_replica, tmp_path, machine
):
    phone = open_replica()
    family = phone.create_conversation("Family", id="family")
    doomed = family.send("doomed")
    kept = family.send("kept")
    phone.close()
    copy = tmp_path / "copy.db"
    copy.write_bytes((tmp_path / "phone.db").read_bytes())
    phone, old = open_replica(), open_replica("copy.db")
    machine.clock_ms += 62 * DAY_MS
    phone.conversation("family").erase(doomed.id)
    phone.compact()
    old.conversation("family").edit(kept.id, "kept, mended")
    msgsync.sync(old, phone)
    for one in (old, phone):
        assert texts(one) == ["kept, mended"]
        assert one.check().ok
        assert files.remains(one.path, b"doomed") == []


def test_other_threads_may_write_between_the_steps(phone, monkeypatch):
    monkeypatch.setattr(limits, "FRAME_FILL_BYTES", 1)
    for number in range(3):
        phone.ingest(Incoming(f"c{number}", "ben", "m", OLD_MS, "1"))
        [message] = phone.conversation(f"c{number}").messages()
        phone.conversation(f"c{number}").edit(message.id, "mended")

    def write(progress):
        conversation = phone.conversation(f"c{progress.documents_total - progress.documents}")
        conversation.edit(conversation.messages()[0].id, f"again {progress.documents}")

    phone.compact(on_progress=lambda progress: write(progress) if progress.documents < 3 else None)
    assert phone.check().ok
    assert texts(phone, "c2") == ["again 1"]


def test_who_has_the_lesser_form_takes_the_greater_one_and_differences_suffice_again(
    phone, tablet, family, machine
):
    for number in range(300):
        family.send(f"number {number} " + "x" * 100)
    msgsync.sync(phone, tablet)
    machine.clock_ms += 62 * DAY_MS
    tablet.compact()
    machine.clock_ms -= 62 * DAY_MS
    sent = []
    for number in range(4):
        family.send(f"one more {number}")
        sent.append(msgsync.sync(phone, tablet).bytes_sent)
    assert sent[0] > 2_000, "the two forms met"
    assert max(sent[2:]) < 1_000
    assert forms(phone)["2024-01"][1] == forms(tablet)["2024-01"][1] == 1


def test_a_greater_form_of_a_head_brings_no_title_back_that_was_erased(
    phone, tablet, family, open_replica, machine
):
    other = open_replica("other.db", member=phone)
    family.rename("Surprise party")
    family.send("hello")
    msgsync.sync(phone, tablet)
    machine.clock_ms += 62 * DAY_MS
    tablet.compact()
    machine.clock_ms -= 62 * DAY_MS
    msgsync.sync(tablet, other)
    family.delete_all(family.preview_deletion().token)
    phone.empty_recently_deleted()
    msgsync.sync(phone, other)
    for replica in (phone, other):
        assert files.remains(replica.path, b"Surprise party") == []


def test_where_a_message_is_stays_known_when_two_readings_of_it_meet(phone, tablet, machine):
    for replica, text in ((phone, "aaa"), (tablet, "bbb")):
        replica.ingest(Incoming("family", "ben", text, OLD_MS, "1"))
    [message] = phone.conversation("family").messages()
    cursors = {replica: replica.cursor() for replica in (phone, tablet)}
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        assert len(replica.where_is(message.id).devices) == 2
        changed = [change.id for change in replica.changes(after=cursors[replica])]
        assert message.id in changed


def test_a_form_of_too_many_messages_is_refused_before_it_is_read(phone, tablet, monkeypatch):
    phone.ingest(Incoming("family", "ben", f"m{n}", OLD_MS + n, str(n)) for n in range(20))
    monkeypatch.setattr(limits, "DOCUMENT_MESSAGES", 10)
    report = msgsync.sync(tablet, phone)
    assert not report.complete
    assert "more than 10 messages" in report.refused[0]
