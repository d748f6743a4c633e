"""What an app hands in a piece at a time."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from msgsync.replica.values import Incoming


class Outside:
    """An app's iterable: an error of its own comes out as it went in, even one of SQLite."""

    def __init__(self, messages: Iterable[Incoming]) -> None:
        self._iterator = iter(messages)
        self._error: BaseException | None = None

    def next(self, count: int) -> list[Incoming]:
        """The next messages, none at the end."""
        try:
            return list(islice(self._iterator, count))
        except BaseException as error:
            self._error = error
            raise

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._error is not None and error is not self._error:
            raise self._error
