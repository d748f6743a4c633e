"""Events that came, calls in threads of their own, and somebody who waits for either."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio.to_thread

PATIENCE_S = 20


class Heard:
    """To be called with events, from any thread."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self._news = threading.Condition()

    def __call__(self, event: object) -> None:
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def wait(self, *kinds: type) -> Any:
        """The first event of one of these kinds, which may be yet to come. Blocks."""

        def found() -> list[object]:
            return [event for event in self.events if isinstance(event, kinds)]

        with self._news:
            assert self._news.wait_for(found, PATIENCE_S)
            return found()[0]

    async def until(self, *kinds: type) -> Any:
        """`wait`, for async tests."""
        return await anyio.to_thread.run_sync(self.wait, *kinds, abandon_on_cancel=True)


def in_thread(call: Callable[[], object]) -> Callable[[], BaseException | None]:
    """Begin a call in a thread of its own; the result waits for its end, and returns what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - it is what is asked for
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def end() -> BaseException | None:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
        return raised[0] if raised else None

    return end
