"""Times that apps pass: datetimes, Unix milliseconds, how long to wait; and how sentences say them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Final

from msgsync import limits
from msgsync.errors import InvalidValue

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_LAST_MS: Final = 253_402_300_799_999


def to_ms(moment: datetime | int) -> int:
    """Unix milliseconds of a datetime (naive ones are UTC) or of themselves.

    Raises:
        InvalidValue: neither, or before 1970.
    """
    if isinstance(moment, datetime):
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        moment = (aware - _EPOCH) // _MILLISECOND
    if type(moment) is not int or not 0 <= moment <= limits.MS:
        raise InvalidValue(f"a time is a datetime or Unix milliseconds from 0 on, not {moment!r}")
    return moment


def check_timeout(timeout: object) -> None:
    """Raise InvalidValue for what is no time to wait, in seconds."""
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise InvalidValue(f"timeout is a number of seconds or None, not {timeout!r}")
    if not 0 <= timeout <= threading.TIMEOUT_MAX:  # what is no number is in no range
        raise InvalidValue(
            f"timeout is from 0 to {threading.TIMEOUT_MAX:.0f} seconds, or None for ever; not {timeout!r}"
        )


def to_datetime(ms: int) -> datetime:
    """A time in UTC; years after 9999 as the end of it."""
    return _EPOCH + timedelta(milliseconds=min(ms, _LAST_MS))


def in_words(ms: int) -> str:
    """A time in a sentence, to the minute, in UTC; years after 9999 as the end of it."""
    return f"{to_datetime(ms):%Y-%m-%d %H:%M} UTC"
