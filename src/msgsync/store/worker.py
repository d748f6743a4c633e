"""A second thread that works for the first one: long statements and compressing, which need no interpreter.

Between two of them it needs it for a moment, and would wait 5 ms for it each time while the first thread is at work:
longer than most of them take. While there is work for it threads take turns more often. Source: decision 29.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_TURN_S: Final = 0.0002
"""So long a thread goes on at most when another one waits; the interpreter's own value is 0.005."""


class Worker:
    """Does what it is given one after the other, in a thread that is made with the first of it."""

    def __init__(self) -> None:
        """Nothing is made yet."""
        self._threads: ThreadPoolExecutor | None = None
        self._started: list[Future[None]] = []

    @property
    def busy(self) -> bool:
        """Whether anything was started that was not waited for."""
        return bool(self._started)

    def start(self, work: Callable[[], None]) -> None:
        """Do this after all that was started before."""
        if self._threads is None:
            from concurrent.futures import ThreadPoolExecutor  # most openings never need it

            self._threads = ThreadPoolExecutor(1, thread_name_prefix="msgsync-store")
        future = self._threads.submit(work)  # raises if there can be no thread
        _turns.shorten()
        future.add_done_callback(_turns.restore)
        self._started.append(future)

    def settle(self) -> None:
        """Wait for all that was started. Raises what the first of it that failed raised."""
        # All have ended before anything else is done; if Ctrl-C comes meanwhile they are still known.
        errors = [future.exception() for future in self._started]
        self._started.clear()
        for error in errors:
            if error is not None:
                raise error

    def abandon(self) -> KeyboardInterrupt | None:
        """Wait for all that was started, whatever became of it. Ctrl-C waits as well, and is returned."""
        interrupt: KeyboardInterrupt | None = None
        for future in self._started:
            while not future.done():
                try:
                    future.exception()
                except KeyboardInterrupt as error:
                    interrupt = error
        self._started.clear()
        return interrupt

    def stop(self) -> None:
        """End the thread, once it has done what was started."""
        if self._threads is not None:
            self._threads.shutdown()
        self._started.clear()

    def leave(self) -> None:
        """Have the thread end by itself once it has done what was started; nobody hears what became of that."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None
        self._started.clear()


class _Turns:
    """How long a thread goes on when another waits for the interpreter: one number for the whole process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting = 0
        """How much work of all workers is not done."""
        self._usual_s = self._short_s = 0.0

    def shorten(self) -> None:
        with self._lock:
            self._waiting += 1
            if self._waiting == 1:
                self._usual_s = sys.getswitchinterval()
                if self._usual_s > _TURN_S:
                    sys.setswitchinterval(_TURN_S)
                self._short_s = sys.getswitchinterval()  # not the same number to the last bit

    def restore(self, _: Future[None]) -> None:
        with self._lock:
            self._waiting -= 1
            # If the app has set it to something else meanwhile that stands.
            if not self._waiting and sys.getswitchinterval() == self._short_s:
                sys.setswitchinterval(self._usual_s)


_turns: Final = _Turns()
