"""Old months on a device that keeps the last ones: what goes, what stays, what is said of it, and how it comes back."""

from __future__ import annotations

import threading

import anyio
import anyio.lowlevel
import apsw
import pytest

import msgsync
from msgsync import Conversation, InvalidValue, NotThereYet, Replica, aio
from msgsync.document.schema import month_bounds
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange
from msgsync.replica.history import ask_for_older, ask_no_more
from msgsync.store import history
from msgsync.transport import memory
from tests.unit.machine import START_MS
from tests.unit.work import work_of

MONTHS = ("2023-01", "2023-02", "2023-03", "2023-12", "2024-01")
DAY_MS = 86_400_000


def fill(conversation: Conversation, months: tuple[str, ...] = MONTHS, each: int = 3) -> None:
    """Some messages of each month, as a carrier brings them."""
    conversation.ingest(
        [
            msgsync.Incoming(
                conversation.id,
                "ben",
                f"{month} number{number}",
                month_bounds(month)[0] + 1000 * number,
                f"{month}.{number}",
            )
            for month in months
            for number in range(each)
        ]
    )


def elsewhere(replica: Replica) -> set[str]:
    with replica.reading() as store:
        return {row.id.kind for row in history.elsewhere(store)}


def texts(conversation: Conversation) -> list[str]:
    return [one.text for one in conversation.messages(limit=1000)]


def one_of(conversation: Conversation, text: str) -> msgsync.Message:
    [found] = conversation.search(f'"{text}"')
    return found


@pytest.fixture
def trimmed(phone: Replica, tablet: Replica, family: Conversation) -> Conversation:
    """The phone's conversation, after it has let go of what is older than three months."""
    fill(family)
    msgsync.sync(phone, tablet)
    phone.set_history_budget(3)
    msgsync.sync(phone, tablet)
    space = phone.free_space()
    assert (space.months_elsewhere, space.months_freed) == (3, 3)
    return family


def test_what_nobody_has_promised_stays(phone, tablet, family):
    fill(family)
    phone.set_history_budget(3)
    assert phone.free_space().months_freed == 0
    msgsync.sync(phone, tablet)
    assert phone.free_space(preview=True).months_freed == 3
    assert not elsewhere(phone)


def test_what_is_older_goes_and_the_digest_stays(phone, tablet, trimmed):
    assert elsewhere(phone) == {"2023-01", "2023-02", "2023-03"}
    assert not elsewhere(tablet)
    assert phone.digest == tablet.digest
    assert len(texts(trimmed)) == 6
    assert len(texts(tablet.conversation("family"))) == 15
    assert phone.check().ok
    assert tablet.check().ok


def test_equal_devices_find_out_at_once_and_nothing_comes_back(phone, tablet, trimmed):
    report = msgsync.sync(phone, tablet)
    assert report.complete
    assert report.documents_received == 0
    assert report.bytes_received < 500
    assert len(elsewhere(phone)) == 3


def test_it_goes_by_itself_once_it_is_a_day_old(phone, tablet, family, machine):
    fill(family)
    phone.set_history_budget(3)
    msgsync.sync(phone, tablet)
    phone.tidy()
    assert not elsewhere(phone)
    machine.clock_ms += DAY_MS
    phone.tidy()
    assert len(elsewhere(phone)) == 3


def test_the_budget_is_checked(phone):
    for wrong in (0, -1, 1.5, True, "12"):
        with pytest.raises(InvalidValue):
            phone.set_history_budget(wrong)


def test_the_newest_month_of_a_conversation_stays(phone, tablet, family):
    fill(family, ("2020-05", "2020-06"))
    msgsync.sync(phone, tablet)
    phone.set_history_budget(3)
    msgsync.sync(phone, tablet)
    phone.free_space()
    assert elsewhere(phone) == {"2020-05"}
    [summary] = phone.conversations()
    assert summary.last_message.text == "2020-06 number2"


def test_a_month_with_something_in_recently_deleted_stays(phone, tablet, family):
    fill(family)
    family.delete(one_of(family, "2023-02 number1"))
    msgsync.sync(phone, tablet)
    phone.set_history_budget(3)
    msgsync.sync(phone, tablet)
    phone.free_space()
    assert elsewhere(phone) == {"2023-01", "2023-03"}


def test_a_device_with_a_budget_keeps_nothing_for_others(phone, tablet, family):
    fill(family)
    for replica in (phone, tablet):
        replica.set_history_budget(3)
    for _ in range(3):
        msgsync.sync(phone, tablet)
    assert phone.free_space().months_freed == tablet.free_space().months_freed == 0


def test_who_has_promised_lets_it_go_for_no_other_promise(phone, tablet, laptop, trimmed):
    msgsync.sync(tablet, laptop)
    msgsync.sync(phone, laptop)
    tablet.set_history_budget(3)
    for _ in range(2):
        for one, other in ((phone, tablet), (tablet, laptop), (phone, laptop)):
            msgsync.sync(one, other)
    assert tablet.free_space().months_freed == 0
    assert not elsewhere(tablet)


def test_nor_for_one_that_it_got_before_it_promised(phone, tablet, laptop, family):
    fill(family)
    for other in (tablet, laptop):
        msgsync.sync(phone, other)
    tablet.set_history_budget(3)
    for other in (laptop, phone, laptop):
        msgsync.sync(tablet, other)
    assert tablet.free_space(preview=True).months_free == 3
    tablet.set_history_budget(None)
    phone.set_history_budget(3)
    for _ in range(2):
        msgsync.sync(phone, tablet)
    tablet.set_history_budget(3)
    for _ in range(2):
        for one, other in ((phone, tablet), (tablet, laptop), (phone, laptop)):
            msgsync.sync(one, other)
    assert tablet.free_space().months_freed == 0
    assert not elsewhere(tablet)


def test_nothing_goes_before_every_device_knows_that_it_may(phone, tablet, laptop, family):
    fill(family)
    msgsync.sync(phone, tablet)
    msgsync.sync(tablet, laptop)
    phone.set_history_budget(3)
    msgsync.sync(phone, tablet)
    assert phone.free_space().months_freed == 0
    space = phone.free_space(preview=True)
    assert (space.months_wait_for, space.months_stay) == ((str(laptop.device),), 0)
    msgsync.sync(phone, laptop)
    msgsync.sync(phone, tablet)
    assert phone.free_space().months_freed == 3


def test_a_page_that_ends_where_history_here_ends_says_so(phone, tablet, trimmed):
    page = trimmed.messages(limit=50)
    assert page.elsewhere
    assert page.older is None
    assert not trimmed.messages(limit=3).elsewhere
    assert trimmed.messages(after=msgsync.Cursor.START).elsewhere
    assert not tablet.conversation("family").messages().elsewhere


def test_older_pages_come_back_while_another_device_is_connected(phone, tablet, trimmed):
    first = trimmed.messages()[0]

    def connect() -> None:
        memory.exchange(Session(Exchange(phone)), Session(Exchange(tablet)))

    with pytest.raises(NotThereYet):
        trimmed.older(first.cursor, timeout=0)
    thread = threading.Timer(0.05, connect)
    thread.start()
    page = trimmed.older(first.cursor, timeout=10)
    thread.join()
    assert [one.text for one in page] == [f"2023-03 number{number}" for number in range(3)]
    assert elsewhere(phone) == {"2023-01", "2023-02"}
    assert phone.digest == tablet.digest
    assert trimmed.messages(before=page[0].cursor).elsewhere
    assert phone.check().ok


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_older_pages_come_back_in_an_event_loop(phone, tablet, trimmed, backend):
    found: list[msgsync.Page] = []

    async def both() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            while not found:
                await aio.sync(phone, tablet)
                await anyio.lowlevel.checkpoint()

    async def look() -> None:
        found.append(await aio.older(trimmed, trimmed.messages()[0].cursor))

    anyio.run(both, backend=backend)
    assert [one.text for one in found[0]] == [f"2023-03 number{number}" for number in range(3)]
    assert phone.digest == tablet.digest


def test_two_that_wait_for_different_months_both_get_theirs(phone, tablet, trimmed):
    for month in ("2023-03", "2023-01"):
        ask_for_older(phone, "family", month_bounds(month)[0])
    msgsync.sync(phone, tablet)
    assert elsewhere(phone) == {"2023-02"}


def test_what_nobody_waits_for_any_more_does_not_come(phone, tablet, trimmed):
    before_ms = month_bounds("2023-03")[0]
    with phone.wants.wanting("family"):
        ask_for_older(phone, "family", before_ms)
        ask_no_more(phone, "family")  # another one waits
        assert wanted(phone) == {"2023-03"}
    ask_no_more(phone, "family")
    assert not wanted(phone)
    msgsync.sync(phone, tablet)
    assert elsewhere(phone) == {"2023-01", "2023-02", "2023-03"}


def wanted(replica: Replica) -> set[str]:
    with replica.reading() as store:
        return {row.id.kind for row in history.elsewhere(store) if not row.is_away}


def test_that_older_pages_are_asked_for_is_told_when_the_lock_is_free(phone, trimmed):
    was_free: list[bool] = []

    def look() -> None:
        is_free = phone.lock.acquire(blocking=False)
        was_free.append(is_free)
        if is_free:
            phone.lock.release()

    def told(_: int) -> None:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    end = phone.on_commit(told)
    with pytest.raises(NotThereYet):
        trimmed.older(trimmed.messages()[0].cursor, timeout=0)
    end()
    assert was_free == [True, True]  # it was asked for, and no more


def test_what_came_back_goes_again(phone, tablet, trimmed, machine):
    phone.set_history_budget(11)
    msgsync.sync(phone, tablet)
    assert elsewhere(phone) == {"2023-01"}
    phone.set_history_budget(3)
    msgsync.sync(phone, tablet)
    phone.tidy()
    assert elsewhere(phone) == {"2023-01"}
    machine.clock_ms += DAY_MS
    msgsync.sync(phone, tablet)
    phone.tidy()
    assert len(elsewhere(phone)) == 3


def test_without_a_budget_all_comes_back_and_others_hear_of_it(phone, tablet, trimmed):
    phone.set_history_budget(None)
    assert tablet.devices()[1].keeps_from_ms is not None
    for _ in range(3):
        msgsync.sync(phone, tablet)
    assert not elsewhere(phone)
    assert len(texts(trimmed)) == 15
    assert phone.digest == tablet.digest
    assert tablet.devices()[1].keeps_from_ms is None


def test_the_session_in_which_all_comes_back_ends_equal(phone, tablet, trimmed):
    phone.set_history_budget(None)
    assert msgsync.sync(phone, tablet).complete
    assert not elsewhere(phone)
    assert phone.digest == tablet.digest
    assert tablet.devices()[1].keeps_from_ms is None


def test_what_is_imported_again_needs_nobody(phone, tablet, trimmed):
    fill(trimmed)
    assert not elsewhere(phone)
    assert trimmed.unread == tablet.conversation("family").unread == 15
    assert phone.digest == tablet.digest
    report = msgsync.sync(phone, tablet)
    assert report.complete
    assert report.documents_received == report.documents_sent == 0
    assert phone.free_space().months_elsewhere == 3
    fill(trimmed, each=2)  # not all of it
    assert len(elsewhere(phone)) == 3
    assert phone.digest != tablet.digest
    assert msgsync.sync(phone, tablet).complete
    assert not elsewhere(phone)
    assert phone.digest == tablet.digest


def test_nothing_is_written_while_what_is_to_come_back_has_no_source(phone, trimmed):
    phone.set_history_budget(None)
    phone.tidy()
    statements: list[str] = []

    def trace(_: apsw.Cursor, sql: str, __: object) -> bool:
        statements.append(sql)
        return True

    with phone.reading() as store:
        connection = store.database.connection
    connection.exec_trace = trace
    phone.tidy()
    connection.exec_trace = None
    assert statements
    assert "begin immediate" not in statements
    assert len(elsewhere(phone)) == 3


def test_a_search_says_from_when_on_it_has_seen_everything(phone, tablet, trimmed):
    found = trimmed.search("number1")
    assert not found.complete
    assert found.complete_from == "2023-04"
    assert len(found) == 2
    whole = tablet.search("number1")
    assert whole.complete
    assert whole.complete_from is None


def test_an_edit_of_an_old_message_brings_its_month_back(phone, tablet, trimmed):
    others = tablet.conversation("family")
    others.edit(one_of(others, "2023-02 number1"), "changed")
    assert msgsync.sync(phone, tablet).complete
    assert elsewhere(phone) == {"2023-01", "2023-03"}
    assert phone.message(one_of(others, "changed").id).text == "changed"
    assert phone.check().ok


def test_an_erasure_sticks_wherever_the_month_comes_from(phone, tablet, laptop, family):
    fill(family)
    for _ in range(2):
        msgsync.sync(phone, tablet)
        msgsync.sync(tablet, laptop)
    doomed = one_of(family, "2023-02 number1").id
    family.erase(doomed)
    phone.set_history_budget(3)
    msgsync.sync(phone, tablet)
    msgsync.sync(phone, tablet)
    with phone.reading() as store:  # as if the laptop had been heard of
        [row] = [
            one for one in store.documents.select("where d.kind = '2023-02'") if one.lacks is None
        ]
    with phone.writing() as store:
        history.let_go(store, row)
    stale = laptop.conversation("family")
    stale.edit(one_of(stale, "2023-02 number0"), "by the laptop")
    msgsync.sync(phone, laptop)
    for replica in (phone, laptop):
        with pytest.raises(msgsync.ErasedMessage):
            replica.message(doomed)
    for _ in range(2):
        msgsync.sync(phone, tablet)
        msgsync.sync(phone, laptop)
    assert phone.digest == laptop.digest == tablet.digest
    assert not elsewhere(phone)
    assert all(replica.check().ok for replica in (phone, tablet, laptop))


def test_nobody_is_said_to_have_what_only_the_keeper_has(phone, tablet, laptop, family):
    fill(family)
    phone.set_history_budget(3)
    for one, other in ((phone, tablet), (phone, laptop), (tablet, laptop), (phone, tablet)):
        msgsync.sync(one, other)
    kept, stale = tablet.conversation("family"), laptop.conversation("family")
    edited = one_of(kept, "2023-02 number1")
    kept.edit(edited, "by the tablet")
    for _ in range(2):
        msgsync.sync(phone, tablet)
    assert phone.free_space().months_elsewhere == 3
    stale.edit(one_of(stale, "2023-02 number0"), "by the laptop")
    assert not msgsync.sync(phone, laptop).complete
    assert phone.digest != laptop.digest
    assert phone.status().months_elsewhere == 3
    msgsync.sync(phone, tablet)
    assert laptop.device not in tablet.where_is(edited).devices
    assert elsewhere(phone) == {"2023-01", "2023-03"}
    assert phone.digest == tablet.digest
    msgsync.sync(phone, laptop)
    assert stale.message(edited.id).text == "by the tablet"
    assert phone.digest == laptop.digest
    assert all(replica.check().ok for replica in (phone, tablet, laptop))


def test_what_only_it_keeps_is_told_of_messages_that_others_let_go_of(phone, tablet, trimmed):
    assert tablet.status().only_here == 9
    assert phone.status().only_here == 0


def test_backups_and_exports_say_that_they_cover_what_is_here(phone, tablet, trimmed, tmp_path):
    assert trimmed.months_elsewhere == ("2023-01", "2023-02", "2023-03")
    assert phone.backup(tmp_path / "backup").months_elsewhere == 3
    report = msgsync.export_jsonlines(phone, tmp_path / "export.jsonl")
    assert (report.messages, report.months_elsewhere) == (6, 3)
    assert msgsync.export_jsonlines(tablet, tmp_path / "all.jsonl").months_elsewhere == 0


def test_a_restored_backup_goes_on_from_there(phone, tablet, trimmed, tmp_path, machine):
    phone.backup(tmp_path / "backup")
    phone.close()
    with Replica(tmp_path / "x.db", member=tablet, system=machine):
        pass
    msgsync.restore(tmp_path / "backup", tmp_path / "restored.db").close()
    with Replica(tmp_path / "restored.db", author="ann", system=machine) as restored:
        msgsync.sync(restored, tablet)
        assert restored.digest == tablet.digest
        assert len(elsewhere(restored)) == 3
        restored.set_history_budget(None)
        for _ in range(2):
            msgsync.sync(restored, tablet)
        assert len(texts(restored.conversation("family"))) == 15
        assert restored.digest == tablet.digest


def test_a_repaired_replica_has_its_messages_and_gets_the_rest(phone, tablet, trimmed):
    with phone.writing() as store:
        store.database.execute("update documents set digest = zeroblob(16) where kind = '2024-01'")
    assert not phone.check().ok
    phone.repair(tablet)
    assert phone.check().ok
    for _ in range(2):
        msgsync.sync(phone, tablet)
    assert phone.digest == tablet.digest
    assert len(texts(trimmed)) + 3 * len(elsewhere(phone)) == 15


def test_a_replica_that_is_open_for_reading_says_what_is_elsewhere(phone, trimmed):
    path = phone.path
    with msgsync.open(path, readonly=True) as beside:
        assert beside.conversation("family").messages().elsewhere
        assert beside.free_space(preview=True).months_elsewhere == 3
        with pytest.raises(msgsync.ReadOnly):
            beside.set_history_budget(1)
        with pytest.raises(NotThereYet):
            beside.conversation("family").older(trimmed.messages()[0].cursor, timeout=0)


def test_others_are_told_who_has_what(phone, tablet, trimmed):
    old = one_of(tablet.conversation("family"), "2023-01 number1")
    new = one_of(trimmed, "2024-01 number1")
    assert tablet.where_is(old).devices == (tablet.device,)
    assert set(tablet.where_is(new).devices) == {phone.device, tablet.device}
    assert not tablet.safe_to_remove(tablet.device).safe
    assert phone.safe_to_remove(phone.device).safe
    assert not phone.safe_to_remove(tablet.device).safe


def test_a_new_device_is_told_what_its_source_does_not_have(phone, tablet, laptop, trimmed):
    assert not msgsync.sync(phone, laptop).complete
    others = laptop.conversation("family")
    assert others.messages().elsewhere
    assert not laptop.search("number1").complete
    assert laptop.digest != phone.digest
    assert msgsync.sync(tablet, laptop).complete
    assert not others.messages().elsewhere
    assert len(texts(others)) == 15
    assert msgsync.sync(phone, laptop).complete


def test_a_conversation_that_is_deleted_is_deleted_in_what_is_elsewhere(phone, tablet, trimmed):
    trimmed.delete_all(trimmed.preview_deletion().token)
    for _ in range(2):
        msgsync.sync(phone, tablet)
    assert phone.digest == tablet.digest
    assert tablet.conversations() == phone.conversations() == []
    assert len(tablet.recently_deleted()) == 15


def test_a_message_that_went_with_its_month_is_said_to_have(phone, tablet, trimmed):
    old = one_of(tablet.conversation("family"), "2023-01 number1")
    for ask in (phone.message, trimmed.message):
        with pytest.raises(msgsync.UnknownMessage, match="fetch_history"):
            ask(old.id)


def test_what_was_asked_for_can_be_left(phone, tablet, laptop, trimmed):
    msgsync.sync(tablet, laptop)
    before = phone.digest
    assert phone.fetch_history() == 3
    assert phone.fetch_history(month_bounds("2023-03")[0], conversation="family") == 1
    with pytest.raises(msgsync.UnknownConversation):
        phone.fetch_history(conversation="work")
    assert phone.digest != before
    phone.set_history_budget(3)
    assert phone.digest == before
    assert msgsync.sync(phone, tablet).complete
    assert len(elsewhere(phone)) == 3


def test_more_months_than_go_at_once_go_one_after_the_other(phone, tablet, family, monkeypatch):
    monkeypatch.setattr("msgsync.replica.history._MESSAGES_AT_ONCE", 4)
    fill(family)
    phone.set_history_budget(3)
    for _ in range(2):
        msgsync.sync(phone, tablet)
    assert phone.free_space().months_freed == 3
    assert len(elsewhere(phone)) == 3


def test_a_month_stays_if_a_message_of_it_is_one_with_one_of_another_month(
    phone, tablet, family, machine
):
    for month, days in (("2023-01", 10), ("2023-03", 30)):
        machine.clock_ms = month_bounds(month)[0] + days * DAY_MS + DAY_MS - 1000
        sent = family.send(f"sent in {month}")
        family.link(sent, f"echo of {month}", machine.clock_ms + 2000)
    machine.clock_ms = month_bounds("2023-02")[0] + DAY_MS
    family.link(family.send("sent in 2023-02"), "echo of 2023-02", machine.clock_ms + 2000)
    machine.clock_ms = START_MS
    fill(family)
    phone.compact()
    msgsync.sync(phone, tablet)
    phone.set_history_budget(3)
    msgsync.sync(phone, tablet)
    phone.free_space()
    assert elsewhere(phone) == {"2023-01", "2023-02"}
    assert phone.check().ok


def test_looking_at_a_month_takes_no_longer_for_links_in_others(phone, tablet, family):
    fill(family)
    msgsync.sync(phone, tablet)
    phone.set_history_budget(3)
    msgsync.sync(phone, tablet)
    before = work_of(phone, lambda: phone.free_space(preview=True))
    for number in range(50):
        family.link(family.send("a"), f"echo {number}", phone.system.now_ms())
    after = work_of(phone, lambda: phone.free_space(preview=True))
    assert after.calls <= before.calls + 10
    assert after.steps <= before.steps + 50


def test_a_device_made_of_a_backup_says_what_it_lacks_before_what_it_has(
    phone, tablet, trimmed, tmp_path, machine
):
    """Until it had met somebody twice others counted on it for months that it has not."""
    old = one_of(tablet.conversation("family"), "2023-02 number1")
    phone.backup(tmp_path / "backup")
    phone.close()
    with msgsync.restore(
        tmp_path / "backup", tmp_path / "new.db", as_new_device=True, author="ann", system=machine
    ) as new:
        tablet.retire(phone.device)
        msgsync.sync(new, tablet)
        assert elsewhere(new)
        assert not tablet.safe_to_remove(tablet.device).safe
        assert new.device not in tablet.where_is(old).devices
