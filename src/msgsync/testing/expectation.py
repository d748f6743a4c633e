"""Whether a replica shows what the model expects. The model may allow several things; a replica shows one."""

from __future__ import annotations

import re
from collections import Counter

import msgsync
from msgsync.testing.reference.entries import Edit, Record
from msgsync.testing.reference.fold import Shown, State
from msgsync.testing.reference.replica import HEAD, Document, ReferenceReplica, segment


def assert_shows(replica: msgsync.Replica, model: ReferenceReplica) -> None:
    """Assert that every conversation and message of the replica is as the model has it."""
    listed = {summary.id: summary for summary in replica.conversations()}
    for name in model.conversations():
        state = model.state(name)
        assert_conversation(replica, name, state)
        titles = state.fields.get("title")
        if titles or state.live:
            assert name in listed, f"{name} is not listed"
            assert listed[name].title in (titles or {None})
            newest = listed[name].last_message
            assert (newest is not None) == bool(state.live)
            assert newest is None or str(newest.id) in state.live
        elif not state.messages:
            assert name not in listed, f"{name} is listed but was never created"
    assert listed.keys() <= model.conversations()


def assert_conversation(replica: msgsync.Replica, name: str, state: State) -> None:
    """Assert that the pages of one conversation hold what the model expects, in order."""
    try:
        conversation = replica.conversation(name)
    except msgsync.UnknownConversation:
        assert not state.messages
        assert not state.fields
        return
    everything = list(conversation.messages(limit=10_000, include_deleted=True))
    ids = [str(message.id) for message in everything]
    assert len(set(ids)) == len(ids), "a message is shown twice"
    assert set(ids) == set(state.messages), "messages are missing or should not be here"
    places = [(message.id.ms, message.order, message.id.raw) for message in everything]
    assert places == sorted(places), "messages are out of order"
    for message in everything:
        assert_message(message, state)
    live = [message for message in everything if not message.deleted]
    assert list(conversation.messages(limit=10_000)) == live


def shows_document(replica: msgsync.Replica, name: Document, state: State) -> bool:
    """Whether a replica shows of one document what the state of that document alone expects."""
    try:
        conversation = replica.conversation(name.conversation)
    except msgsync.UnknownConversation:
        return not state.messages and not state.fields
    if name.part == HEAD:
        return conversation.title in state.fields.get("title", {None})
    here = [
        message
        for message in conversation.messages(limit=10_000, include_deleted=True)
        if segment(name.conversation, message.id.ms) == name
    ]
    if {str(message.id) for message in here} != state.messages.keys():
        return False
    try:
        for message in here:
            assert_message(message, state)
    except AssertionError:
        return False
    return True


def assert_message(message: msgsync.Message, state: State) -> None:
    """Assert that a message is shown as the model expects."""
    shown = state.messages[str(message.id)]
    record = _record(message, shown)
    names = [record.external_id] if record.external_id else sorted(shown.names)
    assert message.external_id == (names[0] if names else None)
    assert message.text in shown.texts, f"shows {message.text!r}, not one of {shown.texts}"
    if not shown.edits:
        assert message.text == message.original_text
    _assert_edits(message, shown)
    _assert_reactions(message, shown)
    gone = {
        one.number - 1 for one in message.attachments if one.state is msgsync.AttachmentState.GONE
    }
    assert gone == {number for number in shown.gone if number < record.files}, "other files gone"
    assert message.deleted == shown.deleted, f"deleted: {message.deleted}, not {shown.deleted}"
    assert (message.deleted_ms is not None) == message.deleted
    target = record.reply_to
    if record.reply_external is not None:
        target = next(
            (
                id
                for id, other in state.messages.items()
                if any(each.external_id == record.reply_external for each in other.records)
            ),
            None,
        )
    target = state.merged.get(str(target), target)
    if target in state.messages and record.reply_external is None:
        assert str(message.reply_to) == target
    elif target in state.messages:
        named = {id for id, other in state.messages.items() if record.reply_external in other.names}
        assert str(message.reply_to) in {target, *named}


def assert_readable(replica: msgsync.Replica) -> None:
    """Assert that small pages, lookups and searches lead to the same messages as one large page."""
    for summary in replica.conversations():
        conversation = replica.conversation(summary.id)
        live = list(conversation.messages(limit=10_000))
        assert _walk(conversation, "newer", "after", msgsync.Cursor.START) == live
        assert _walk(conversation, "older", "before", None) == live
        for message in live:
            for word in re.findall(r"(?<!\S)[a-z0-9]+(?!\S)", message.text)[:3]:
                found = conversation.search(word, limit=10_000)
                assert message in found, f"a search for {word!r} misses {message.text!r}"
                assert all(each in live for each in found), "a search finds what is gone"
            if message.external_id is not None:
                assert_found(conversation, message)


def assert_found(conversation: msgsync.Conversation, message: msgsync.Message) -> None:
    """Assert that an external id leads to its message, or to another that has the same one by an alias."""
    assert message.external_id is not None
    found = conversation.find(message.external_id)
    assert found is not None
    assert found == message or found.external_id != message.external_id or found.id != message.id
    assert conversation.message(external=message.external_id) == found


def _walk(
    conversation: msgsync.Conversation, way: str, keyword: str, start: msgsync.Cursor | None
) -> list[msgsync.Message]:
    pages: list[list[msgsync.Message]] = []
    cursor = start
    while not pages or cursor is not None:
        page = conversation.messages(limit=3, **{keyword: cursor})  # type: ignore[arg-type]
        pages.append(list(page))
        cursor = getattr(page, way)
    return [message for page in (pages if way == "newer" else pages[::-1]) for message in page]


def _record(message: msgsync.Message, shown: Shown) -> Record:
    for record in shown.records:
        if (
            (message.author, message.original_text) == (record.author, record.text)
            and (message.sent_ms, message.order) == (record.sent_ms, record.order)
            and message.kind == record.kind
            and len(message.attachments) == record.files
            and message.reply_external == record.reply_external
        ):
            return record
    raise AssertionError(f"{message} is none of the records {set(shown.records)}")


def _assert_edits(message: msgsync.Message, shown: Shown) -> None:
    texts = [edit.text for edit in message.edits]
    assert Counter(texts) == Counter(edit.text for edit in shown.edits), "edits differ"
    if texts:
        assert message.text == texts[-1], "the last edit is not the one shown"
    upstream = {
        (edit.text, edit.stamp.upstream_ms) for edit in shown.edits if not edit.stamp.writer
    }
    assert upstream <= {(edit.text, edit.at_ms) for edit in message.edits}
    by_text: dict[str, list[Edit]] = {}
    for edit in shown.edits:
        by_text.setdefault(edit.text, []).append(edit)
    unique = [by_text[text][0] for text in texts if len(by_text[text]) == 1]
    for position, first in enumerate(unique):
        for second in unique[position + 1 :]:
            assert not second.stamp.below(first.stamp), "edits are out of order"


def _assert_reactions(message: msgsync.Message, shown: Shown) -> None:
    actual = {(each.user, each.emoji): each.at_ms for each in message.reactions}
    assert len(actual) == len(message.reactions), "a reaction is shown twice"
    assert actual.keys() <= shown.reactions.keys(), "a reaction nobody made"
    for register, candidates in shown.reactions.items():
        possible = {each.on for each in candidates}
        assert (register in actual) in possible, f"reaction {register}: expected {possible}"
        if register in actual and all(not each.stamp.writer for each in candidates):
            assert actual[register] in {each.stamp.upstream_ms for each in candidates}
