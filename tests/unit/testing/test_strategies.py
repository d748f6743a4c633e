"""The strategies draw what they promise, and a replica takes all of it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

import msgsync
from msgsync.testing import deliveries, external_ids, histories, messages, texts, times, view
from msgsync.testing.world import carried_id

FIND = settings(
    max_examples=5_000,
    phases=[Phase.generate],  # nobody looks at what is found
    database=None,
    suppress_health_check=list(HealthCheck),
)


@settings(max_examples=30)
@given(history=histories(conversations=("family", "work")))
def test_every_history_is_taken_whole_and_under_the_ids_foretold(history):
    with (
        tempfile.TemporaryDirectory() as directory,
        msgsync.open(Path(directory) / "a.db", author="ann", durability="relaxed") as replica,
    ):
        assert replica.ingest(history).added == len(history)
        assert replica.ingest(history).present == len(history)
        shown = view(replica)
        ids = {id for conversation in shown.values() for id in conversation["messages"]}
        assert ids == {carried_id(message) for message in history}


@given(data=st.data(), devices=st.integers(1, 4))
def test_deliveries_reach_somebody_each_and_add_nothing(data, devices):
    history = list(range(6))
    runs = data.draw(deliveries(history, devices=devices))
    assert len(runs) == devices
    assert {message for run in runs for message in run} == set(history)
    assert all(run.count(message) <= 2 for run in runs for message in history)


@pytest.mark.parametrize(
    "wanted",
    [
        lambda runs: set(runs[0]) != set(runs[1]),
        lambda runs: len(runs[0]) > len(set(runs[0])),
        lambda runs: list(runs[0]) != sorted(runs[0]),
    ],
    ids=["missed", "repeated", "reordered"],
)
def test_deliveries_miss_repeat_and_reorder(wanted):
    find(deliveries(range(3), devices=2), wanted, settings=FIND)


@pytest.mark.parametrize(
    "wanted",
    [
        lambda history: len({each.sent_ms for each in history}) < len(history),
        lambda history: any(each.reply_external for each in history),
        lambda history: any(each.edits for each in history),
        lambda history: any(each.reactions for each in history),
        lambda history: any(each.deleted_ms for each in history),
    ],
    ids=["equal times", "replies", "edits", "reactions", "deletions"],
)
def test_histories_have_what_real_ones_have(wanted):
    find(histories(), wanted, settings=FIND)


def _has(letter: str) -> Callable[[str], bool]:
    return lambda text: letter in text


def test_texts_come_in_many_scripts():
    for letter in "aзתक明ま만ก":
        find(texts(), _has(letter), settings=FIND)
    find(texts(), lambda text: "\u200d" in text, settings=FIND)
    find(texts(), lambda text: text == "", settings=FIND)


@given(start=st.integers(0, 2**41), length=st.integers(0, 10**10), data=st.data())
def test_times_stay_between_start_and_end(start, length, data):
    drawn = data.draw(times(start_ms=start, end_ms=start + length))
    assert start <= drawn <= start + length


@given(one=external_ids())
def test_external_ids_are_within_the_limit(one):
    assert 1 <= len(one.encode()) <= 255


@given(message=messages(conversation="c", external_id="x", reply_external="y"))
def test_messages_are_as_asked_for(message):
    assert (message.conversation, message.external_id, message.reply_external) == ("c", "x", "y")


def test_without_hypothesis_the_import_says_what_to_install():
    program = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import importlib.util as util; found = util.find_spec\n"
        "util.find_spec = lambda name, *a: None if name == 'hypothesis' else found(name, *a)\n"
        "import msgsync.testing"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "pip install 'msgsync[testing]'" in ran.stderr.splitlines()[-1]


def test_importing_msgsync_does_not_load_the_kit():
    program = "import sys, msgsync; print({'hypothesis', 'msgsync.testing'} & set(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "set()"
