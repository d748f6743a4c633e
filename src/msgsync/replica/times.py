"""Times that apps pass, datetimes or Unix milliseconds, and how sentences say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from msgsync import limits
from msgsync.errors import InvalidValue

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_LAST_MS: Final = 253_402_300_799_999


def to_ms(moment: datetime | int) -> int:
    """Unix milliseconds of a datetime (naive ones are UTC) or of themselves.

    Raises:
        InvalidValue: neither, or before 1970.
    """
    if isinstance(moment, datetime):
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        moment = (aware - EPOCH) // _MILLISECOND
    if type(moment) is not int or not 0 <= moment <= limits.MS:
        raise InvalidValue(f"a time is a datetime or Unix milliseconds from 0 on, not {moment!r}")
    return moment


def in_words(ms: int) -> str:
    """A time in a sentence, to the minute, in UTC; years after 9999 as the end of it."""
    moment = EPOCH + timedelta(milliseconds=min(ms, _LAST_MS))
    return f"{moment:%Y-%m-%d %H:%M} UTC"
