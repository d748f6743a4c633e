"""The checks notice what differs and what is wrong, and say where."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import apsw
import pytest

import msgsync
from msgsync.testing import (
    ReferenceReplica,
    SimulatedSystem,
    World,
    assert_converged,
    assert_readable,
    assert_shows,
    assert_sound,
    differences,
    view,
)


@pytest.fixture
def pair(tmp_path) -> Iterator[tuple[msgsync.Replica, msgsync.Replica]]:
    """Two replicas in one state: three messages, an edit, a reaction, one deleted."""
    with (
        msgsync.open(tmp_path / "phone.db", author="ann", system=SimulatedSystem(1)) as phone,
        phone.new_device(tmp_path / "tablet.db") as tablet,
    ):
        family = phone.create_conversation("Family", id="family")
        first, second, third = (family.send(text) for text in ("one", "two", "three"))
        family.edit(first, "first")
        family.react(second, "👍")
        family.delete(third)
        msgsync.sync(phone, tablet)
        yield phone, tablet


def behind_its_back(replica: msgsync.Replica, statement: str) -> msgsync.Replica:
    """Close a replica, change its file with another program, and open it again."""
    replica.close()
    connection = apsw.Connection(str(replica.path))
    connection.execute(statement)
    assert connection.changes() == 1
    connection.close()
    return msgsync.open(replica.path, author="ann")


def test_equal_replicas_are_converged_and_sound(pair):
    assert_converged(*pair)
    assert_converged(pair[0])
    assert_converged()
    for replica in pair:
        assert_sound(replica)
        assert_readable(replica)


def test_a_view_is_plain_values_with_everything_shown(pair):
    shown = view(pair[0])
    assert list(shown) == ["family"]
    assert shown["family"]["title"] == "Family"
    messages = list(shown["family"]["messages"].values())
    assert [each["text"] for each in messages] == ["first", "two", "three"]
    assert messages[0]["original_text"] == "one"
    assert messages[0]["edits"][0]["text"] == "first"
    assert messages[1]["reactions"][0]["emoji"] == "👍"
    assert messages[2]["deleted"] is True
    assert list(shown["family"]["messages"]) == [each["id"] for each in messages]


def test_a_difference_is_named_by_its_place(pair):
    phone, tablet = pair
    [message, _] = tablet.conversation("family").messages()
    tablet.conversation("family").edit(message, "eins")
    tablet.conversation("family").send("four")
    with pytest.raises(AssertionError) as caught:
        assert_converged(phone, tablet)
    said = str(caught.value)
    assert "phone.db and tablet.db differ" in said
    assert f"family > messages > {message.id} > text: 'first', 'eins'" in said
    assert "only right: 'four'" in said


def test_equal_views_under_unequal_digests_are_noticed(pair):
    phone, tablet = pair
    phone.conversation("family").erase(msgsync.MessageId(bytes(12)))  # shows nowhere
    assert view(phone) == view(tablet)
    with pytest.raises(AssertionError, match="show the same, but their digests differ"):
        assert_converged(phone, tablet)


@pytest.mark.parametrize(
    "statement",
    [
        "update messages set text = 'other' where text = 'two'",
        "update messages set author = 'eve' where text = 'two'",
        "delete from messages where text = 'two'",
        "update conversations set title = 'Work'",
    ],
)
def test_a_row_changed_behind_the_librarys_back_is_noticed_by_both_checks(pair, statement):
    phone, tablet = pair
    with behind_its_back(tablet, statement) as tampered:
        with pytest.raises(AssertionError, match="differ"):
            assert_converged(phone, tampered)
        with pytest.raises(AssertionError, match=r"tablet\.db is not sound"):
            assert_sound(tampered)


def test_a_message_that_no_search_finds_is_noticed(pair, monkeypatch):
    monkeypatch.setattr(msgsync.Conversation, "search", lambda self, words, **how: [])
    with pytest.raises(AssertionError, match="a search for 'first' misses"):
        assert_readable(pair[0])


def test_pages_that_skip_a_message_are_noticed(pair, monkeypatch):
    real = msgsync.Conversation.messages

    def skipping(self, **how):
        page = real(self, **how)
        return page if how["limit"] > 3 else msgsync.Page(page.messages[1:], page.older, page.newer)

    monkeypatch.setattr(msgsync.Conversation, "messages", skipping)
    with pytest.raises(AssertionError):
        assert_readable(pair[0])


def test_differences_of_lists_types_and_order():
    assert list(differences({"a": [1, 2]}, {"a": [1, 3, 4]})) == [
        "a > 1: 2, 3",
        "a > 2: only right: 4",
    ]
    assert list(differences({"a": 1}, {"a": True})) == ["a: 1, True"]
    assert list(differences({"a": 1, "b": 2}, {"b": 2, "a": 1})) == [
        "as a whole: in another order: ['a', 'b'], ['b', 'a']"
    ]
    assert list(differences({"a": 1}, {})) == ["a: only left: 1"]
    assert list(differences({"a": [1]}, {"a": [1]})) == []


def test_a_reference_that_was_told_something_else_is_noticed(tmp_path):
    with World.with_replicas(tmp_path, 2) as world:
        world.create(0, "family", "Family")
        world.send(0, "family", "one")
        device = world.devices[0]
        assert_shows(device.replica, device.reference)
        with pytest.raises(AssertionError):
            assert_shows(device.replica, ReferenceReplica("ann"))
        device.replica.conversation("family").rename("Work")
        with pytest.raises(AssertionError):
            assert_shows(device.replica, device.reference)


def test_a_world_notices_a_replica_that_went_back_when_it_was_reopened(tmp_path, monkeypatch):
    with World.with_replicas(tmp_path, 2) as world:
        world.create(0, "family", "Family")
        world.back_up(0)
        world.send(0, "family", "soon lost")
        real, kept = world._open, world.backups[0].copied

        def forgetting(path, system):
            for suffix in ("", "-wal"):
                left = path.with_name(path.name + suffix)
                left.unlink(missing_ok=True)
                if (there := kept.with_name(kept.name + suffix)).exists():
                    shutil.copyfile(there, left)
            return real(path, system)

        monkeypatch.setattr(world, "_open", forgetting)
        with pytest.raises(AssertionError, match="reopening changed it"):
            world.reopen(0)


def test_a_world_falls_back_and_knows_what_is_gone(tmp_path):
    with World.with_replicas(tmp_path, 2) as world:
        world.create(0, "family", "Family")
        backup = world.back_up(0)
        sent = world.send(0, "family", "only here")
        world.crash(0)
        assert world.ids(0, "family") == {sent}
        world.fall_back(0, backup)
        assert world.ids(0, "family") == set()
        world.sync(0, 1)
        world.assert_converged()
