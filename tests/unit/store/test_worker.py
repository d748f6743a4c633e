"""A second thread that works for the first one."""

import sys
import threading
from functools import partial

import pytest

from msgsync.store.worker import Worker


@pytest.fixture
def worker():
    worker = Worker()
    usual_s = sys.getswitchinterval()
    yield worker
    worker.stop()
    assert sys.getswitchinterval() == usual_s


def _wait(gate: threading.Event) -> None:
    gate.wait()


def test_it_does_what_it_is_given_in_order(worker):
    done = []
    for number in range(5):
        worker.start(lambda number=number: done.append(number))
    assert worker.busy
    worker.settle()
    assert done == [0, 1, 2, 3, 4]
    assert not worker.busy


def test_the_first_error_is_raised_once_all_has_ended(worker):
    done = threading.Event()

    def fail():
        raise LookupError("the first")

    worker.start(fail)
    worker.start(done.set)
    with pytest.raises(LookupError, match="the first"):
        worker.settle()
    assert done.is_set()
    assert not worker.busy
    worker.settle()


def test_what_is_abandoned_has_ended_and_raises_nothing(worker):
    done = threading.Event()
    worker.start(lambda: 1 / 0)
    worker.start(done.set)
    assert worker.abandon() is None
    assert done.is_set()
    assert not worker.busy


def test_threads_take_shorter_turns_while_there_is_work(worker):
    usual_s = sys.getswitchinterval()
    gate = threading.Event()
    worker.start(partial(_wait, gate))
    short_s = sys.getswitchinterval()
    gate.set()
    assert short_s < usual_s
    worker.stop()
    assert sys.getswitchinterval() == usual_s


def test_turns_are_short_until_the_last_of_several_workers_is_done(worker):
    usual_s = sys.getswitchinterval()
    other = Worker()
    gates = threading.Event(), threading.Event()
    worker.start(partial(_wait, gates[0]))
    other.start(partial(_wait, gates[1]))
    gates[0].set()
    worker.stop()
    short_s = sys.getswitchinterval()
    gates[1].set()
    assert short_s < usual_s
    other.stop()
    assert sys.getswitchinterval() == usual_s


def test_turns_stay_as_they_are_if_there_can_be_no_thread(worker, monkeypatch):
    def no_thread(*_):
        raise RuntimeError("can't start new thread")

    usual_s = sys.getswitchinterval()
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with pytest.raises(RuntimeError, match="new thread"):
        worker.start(lambda: None)
    assert sys.getswitchinterval() == usual_s
    assert not worker.busy


def test_an_interval_that_the_app_has_set_meanwhile_stays(worker):
    usual_s = sys.getswitchinterval()
    gate = threading.Event()
    worker.start(partial(_wait, gate))
    sys.setswitchinterval(0.01)
    try:
        gate.set()
        worker.stop()
        assert sys.getswitchinterval() == 0.01
    finally:
        sys.setswitchinterval(usual_s)
