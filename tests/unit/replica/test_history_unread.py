"""Unread messages of old months: the same number where they are and where they were let go of."""

from __future__ import annotations

import pytest

import msgsync
from msgsync import Conversation, Replica
from tests.unit.conftest import Opener
from tests.unit.replica.test_history import DAY_MS, elsewhere, fill, one_of, texts


@pytest.fixture
def kept(phone: Replica, tablet: Replica, family: Conversation) -> Conversation:
    """The tablet's conversation, which it has whole; nothing was let go of yet."""
    fill(family)
    family.ingest(msgsync.Incoming("family", "ann", "mine", 1_677_000_000_000, "mine"))  # 2023-02
    msgsync.sync(phone, tablet)
    return tablet.conversation("family")


def let_go(phone: Replica, tablet: Replica) -> set[str]:
    """Keep three months on the phone; return which have gone."""
    phone.set_history_budget(3)
    msgsync.sync(phone, tablet)
    phone.free_space()
    return elsewhere(phone)


def unread(family: Conversation, kept: Conversation) -> int:
    """The number that both show."""
    shown = {family.unread, kept.unread, family.info().unread, kept.info().unread}
    assert len(shown) == 1
    return shown.pop()


def test_what_nobody_has_read_goes_and_counts(phone, tablet, family, kept):
    assert len(let_go(phone, tablet)) == 3
    assert len(texts(family)) == 6
    assert unread(family, kept) == 15
    assert family.first_unread().text == "2023-12 number0"
    assert phone.check().ok


def test_what_was_read_on_either_device_does_not_count(phone, tablet, family, kept):
    let_go(phone, tablet)
    kept.mark_read(one_of(kept, "2023-12 number0"))
    msgsync.sync(phone, tablet)
    assert unread(family, kept) == 5
    family.mark_read()
    msgsync.sync(phone, tablet)
    assert unread(family, kept) == 0
    assert len(elsewhere(phone)) == 3


def test_a_month_that_was_read_in_part_stays_until_the_rest_was_read(
    phone, tablet, family, kept, machine
):
    family.mark_read(one_of(family, "2023-02 number1"))
    msgsync.sync(phone, tablet)
    assert let_go(phone, tablet) == {"2023-03"}  # late messages of a week before are told apart
    assert unread(family, kept) == 10
    family.mark_read(one_of(family, "2023-12 number2"))
    msgsync.sync(phone, tablet)
    machine.clock_ms += DAY_MS
    phone.tidy()
    assert elsewhere(phone) == {"2023-01", "2023-02", "2023-03"}
    assert unread(family, kept) == 3


def test_a_month_that_is_read_in_part_elsewhere_comes_back(phone, tablet, family, kept, machine):
    let_go(phone, tablet)
    kept.mark_read(one_of(kept, "2023-02 number1"))
    for _ in range(2):
        msgsync.sync(phone, tablet)
    assert elsewhere(phone) == {"2023-03"}
    assert unread(family, kept) == 10
    assert family.first_unread().text == "2023-02 number2"
    phone.set_history_budget(3)
    machine.clock_ms += DAY_MS
    phone.free_space()
    assert elsewhere(phone) == {"2023-03"}


def test_marking_an_old_message_as_unread_counts_what_follows(phone, tablet, family, kept):
    family.mark_read()
    msgsync.sync(phone, tablet)
    let_go(phone, tablet)
    kept.mark_unread(one_of(kept, "2023-01 number0"))
    for _ in range(2):
        msgsync.sync(phone, tablet)
    assert unread(family, kept) == 15
    kept.mark_unread(one_of(kept, "2023-03 number0"))
    for _ in range(2):
        msgsync.sync(phone, tablet)
    assert unread(family, kept) == 9


def test_what_came_back_counts_once_and_counts_when_it_has_gone_again(phone, tablet, family, kept):
    let_go(phone, tablet)
    phone.fetch_history()
    msgsync.sync(phone, tablet)
    assert not elsewhere(phone)
    assert unread(family, kept) == 15
    kept.delete(one_of(kept, "2023-03 number1"))
    kept.edit(one_of(kept, "2023-02 number1"), "changed")
    msgsync.sync(phone, tablet)
    assert let_go(phone, tablet) == {"2023-01", "2023-02"}
    assert unread(family, kept) == 14


def test_what_came_of_a_month_in_part_does_not_count_twice(
    phone, tablet, open_replica: Opener, family, kept
):
    laptop = open_replica("laptop.db", member=phone)
    msgsync.sync(phone, laptop)
    for _ in range(2):
        let_go(phone, tablet)
        msgsync.sync(phone, laptop)
    assert len(let_go(phone, tablet)) == 3
    kept.edit(one_of(kept, "2023-02 number1"), "by the tablet")
    for _ in range(2):
        msgsync.sync(phone, tablet)
    assert len(let_go(phone, tablet)) == 3
    stale = laptop.conversation("family")
    stale.ingest(msgsync.Incoming("family", "ben", "late", 1_677_000_000_001, "late"))  # 2023-02
    assert not msgsync.sync(phone, laptop).complete  # what the tablet said is missing
    assert len(elsewhere(phone)) == 3
    assert len(family.search("number1")) == 2 + 1
    assert family.unread == stale.unread == 16


def test_marking_the_newest_as_unread_makes_nothing_unread_that_was_let_go_of(
    phone, tablet, family
):
    fill(family, ("2023-01", "2023-02"))
    fill(family, ("2024-01",), each=1)
    family.mark_read()
    msgsync.sync(phone, tablet)
    assert let_go(phone, tablet) == {"2023-01", "2023-02"}
    family.mark_unread()
    msgsync.sync(phone, tablet)
    assert unread(family, tablet.conversation("family")) == 1


def test_reading_the_newest_reads_what_was_let_go_of_in_the_days_before(phone, tablet, family):
    family.ingest(
        msgsync.Incoming("family", "ben", day, ms, day)
        for day, ms in (("May 30", 1_559_174_400_000), ("June 2", 1_559_433_600_000))
    )
    msgsync.sync(phone, tablet)
    assert let_go(phone, tablet) == {"2019-05"}
    family.mark_read()
    for _ in range(2):
        msgsync.sync(phone, tablet)
    assert elsewhere(phone) == {"2019-05"}
    assert unread(family, tablet.conversation("family")) == 0


def test_a_restored_backup_counts_what_is_elsewhere(phone, tablet, family, kept, tmp_path, machine):
    let_go(phone, tablet)
    phone.backup(tmp_path / "backup")
    phone.close()
    msgsync.restore(tmp_path / "backup", tmp_path / "restored.db").close()
    with Replica(tmp_path / "restored.db", author="ann", system=machine) as restored:
        assert unread(restored.conversation("family"), kept) == 15
