"""Strategies for hypothesis: texts, messages, histories and what carriers make of them.

They draw what breaks chat programs: many scripts, right-to-left marks, combining marks, emoji of several code points,
times that most messages share, months that end between two messages, carriers that repeat and miss messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

from hypothesis import strategies as st

from msgsync.replica.values import Edit, Incoming, Reaction
from msgsync.testing.system import START_MS

T = TypeVar("T")

PHRASES = (
    "Dinner at eight?",
    "naïve café, Straße, ŁÓDŹ, İstanbul",
    "e\u0301 is not é until it is composed",
    "До завтра!",
    "Τα λέμε αύριο",
    "نلتقي غدًا الساعة ٨",
    "\u200fנתראה מחר\u200e (tomorrow)",
    "कल मिलते हैं",
    "แล้วเจอกันพรุ่งนี้",
    "明天见",
    "また明日ね！ｶﾅ",
    "내일 만나요",
    "ნახვამდის ხვალ",
    "እንገናኝ ነገ",
    "👩‍👩‍👧‍👦 at 🏴󠁧󠁢󠁳󠁣󠁴󠁿 👍🏽",
    "two\nlines\twith tabs \u2028 and separators",
    "Z\u0335\u0321a\u0334\u0348l\u0337\u0353g\u0338\u0359o\u0336\u034d",
    "'; drop table messages; --",
    '"quoted" AND (NOT) near* -minus col:on',
    "zero\u200bwidth \ufeffmark \x00 null",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 beyond the 𝕭MP 𐍈",
)
"""One of each kind of text that a chat program meets."""
EMOJI = ("👍", "❤️", "❤", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇺🇳", "1️⃣", ":+1:", "ok")
"""Reactions: of one code point, of many, nearly equal ones, and the words some services use."""
NAMES = ("ben", "cleo", "Dvořák", "李雷", "فاطمة", "+49 151 0000000", "@emil:example.org")
"""Authors as several services name them."""
_MINUTE = 60_000
_DAY = 86_400_000


def texts(*, max_size: int = 200) -> st.SearchStrategy[str]:
    """Texts of messages: phrases of many scripts, and any Unicode at all; empty ones too.

    Args:
        max_size: the most characters, for texts that are not one of `PHRASES`.
    """
    return st.sampled_from(PHRASES) | st.text(max_size=max_size)


def emojis() -> st.SearchStrategy[str]:
    """What a reaction may be."""
    return st.sampled_from(EMOJI)


def authors() -> st.SearchStrategy[str]:
    """Who sends, and who reacts."""
    return st.sampled_from(NAMES)


def external_ids() -> st.SearchStrategy[str]:
    """Ids as sources give them: numbers, words, addresses; 1 to 255 bytes of UTF-8."""
    return st.one_of(
        st.integers(0, 2**64 - 1).map(str),
        st.text("abcdefghij0123456789-_.:/<>@", min_size=1, max_size=40),
        st.text(min_size=1, max_size=60),
    )


def times(*, start_ms: int | None = None, end_ms: int = START_MS) -> st.SearchStrategy[int]:
    """Times at which messages are sent, Unix milliseconds: many equal ones, as sources give minutes or seconds.

    Args:
        start_ms: the earliest; 70 days before the end if not given, so that months end in between.
        end_ms: the latest.
    """
    first = max(end_ms - 70 * _DAY, 0) if start_ms is None else start_ms
    exact = st.integers(first, end_ms)
    few = st.integers(0, 5).map(lambda part: first + (end_ms - first) * part // 5)
    month = datetime.fromtimestamp(end_ms / 1000, UTC).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    turn = int(month.timestamp()) * 1000
    turns = st.sampled_from([ms for ms in (turn - 1, turn) if first <= ms <= end_ms] or [end_ms])
    minutes = exact.map(lambda ms: max(ms - ms % _MINUTE, first))
    return st.one_of(few, turns, minutes, exact)


@st.composite
def messages(
    draw: st.DrawFn,
    *,
    conversation: str = "family",
    external_id: str | None = None,
    sent_ms: st.SearchStrategy[int] | None = None,
    reply_external: str | None = None,
) -> Incoming:
    """A message as its source has it, with edits, reactions or a deletion now and then.

    Args:
        draw: given by hypothesis.
        conversation: the conversation it belongs to.
        external_id: the source's id; drawn if not given.
        sent_ms: when it was sent; `times` if not given.
        reply_external: the external id of what it answers.
    """
    sent = draw(times() if sent_ms is None else sent_ms)
    later = st.integers(1, 90 * _DAY).map(lambda ms: sent + ms)
    edits = draw(
        st.lists(st.builds(Edit, texts(), later), max_size=2, unique_by=lambda each: each.at_ms)
    )
    reactions = draw(
        st.lists(
            st.builds(Reaction, authors(), emojis(), later),
            max_size=2,
            unique_by=lambda each: (each.user, each.emoji),
        )
    )
    return Incoming(
        conversation,
        draw(authors()),
        draw(texts()),
        sent,
        external_id=draw(external_ids()) if external_id is None else external_id,
        order=draw(st.integers(0, 3)),
        kind=draw(st.sampled_from(("text", "text", "text", "action"))),
        reply_external=reply_external,
        edits=tuple(sorted(edits, key=lambda each: each.at_ms)),
        reactions=tuple(reactions),
        deleted_ms=draw(st.none() | st.none() | st.none() | later),
    )


@st.composite
def histories(
    draw: st.DrawFn,
    *,
    conversations: Sequence[str] = ("family",),
    min_size: int = 0,
    max_size: int = 12,
    sent_ms: st.SearchStrategy[int] | None = None,
) -> tuple[Incoming, ...]:
    """What a source has of some conversations, in its order: each message once, some answering earlier ones.

    Args:
        draw: given by hypothesis.
        conversations: the conversations the messages belong to.
        min_size: the fewest messages.
        max_size: the most messages.
        sent_ms: when messages were sent; `times` if not given.
    """
    ids = draw(st.lists(external_ids(), min_size=min_size, max_size=max_size, unique=True))
    history: list[Incoming] = []
    for one in ids:
        conversation = draw(st.sampled_from(list(conversations)))
        earlier = [each.external_id for each in history if each.conversation == conversation]
        reply = draw(st.none() | st.sampled_from(earlier)) if earlier else None
        history.append(
            draw(
                messages(
                    conversation=conversation,
                    external_id=one,
                    sent_ms=sent_ms,
                    reply_external=reply,
                )
            )
        )
    return tuple(sorted(history, key=lambda each: (each.sent_ms, each.order)))


@st.composite
def deliveries(
    draw: st.DrawFn, history: Sequence[T], *, devices: int = 2
) -> tuple[tuple[T, ...], ...]:
    """What a carrier delivers of a history, a run for each device: it misses some, repeats some, mixes the order.

    Together the devices get everything: each message reaches at least one of them.

    Args:
        draw: given by hypothesis.
        history: what the source has.
        devices: how many devices it delivers to, from 1 on.
    """
    runs: list[list[T]] = [[] for _ in range(devices)]
    for message in history:
        times_each = draw(st.lists(st.integers(0, 2), min_size=devices, max_size=devices))
        if not any(times_each):
            times_each[draw(st.integers(0, devices - 1))] = 1
        for run, times_here in zip(runs, times_each, strict=True):
            run.extend([message] * times_here)
    return tuple(tuple(draw(st.permutations(run))) for run in runs)
