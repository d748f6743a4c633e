"""A bucket as a mailbox: S3 and what speaks like it, Google Cloud Storage, Azure; through obstore.

obstore tries again what fails for a moment, with pauses that grow; what still fails then is one of the kinds of
`MailboxError`. Its own words are not passed on: they hold addresses, and where a key is part of one the key as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from msgsync import limits
from msgsync.errors import (
    InvalidValue,
    MailboxBusy,
    MailboxClockWrong,
    MailboxDamaged,
    MailboxError,
    MailboxForbidden,
    MailboxFull,
    MailboxUnreachable,
    NoSuchObject,
)
from msgsync.mailbox.mailbox import check_body, check_name, is_name, no_such_object, too_long

_open: Final[Any] = from_url
"""Its types know each storage's options; which storage it is, the URL says."""
_CLIENT: Final = {"connect_timeout": "10s", "read_timeout": "30s", "timeout": "180s"}
"""A stalled answer ends after 30 seconds; one that flows has time for the longest object on a slow line."""
_RETRY: Final = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=10),
        "base": 2,
    },
}
_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>(\w{1,64})</Code>")
_CUT_OFF: Final = re.compile(r"Content-Range|Content-Length|body error|response body")
_NOT_THERE: Final = {"NoSuchBucket", "ContainerNotFound", "NoSuchContainer"}
_FULL: Final = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "StorageQuotaExceeded"}
_BUSY: Final = {"SlowDown", "TooManyRequests", "RequestLimitExceeded", "ServerBusy"}
_CREDENTIALS: Final = {
    "AccountIsDisabled",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
}
_CLOCK: Final = {"RequestTimeTooSkewed", "RequestExpired"}


class ObjectStoreMailbox:
    """A mailbox in a bucket. Nothing is asked of it before the first verb.

    Args:
        url: ``s3://BUCKET/FOLDER``, ``gs://BUCKET/FOLDER`` or ``az://ACCOUNT/CONTAINER/FOLDER``.
        options: what `obstore.store.from_url` takes for that kind of store: ``endpoint``, ``region``,
            ``access_key_id`` and so on. What is not given is looked for in the environment (``AWS_...``). A
            ``client_options`` or ``retry_config`` changes those of this class where it says something.

    Raises:
        InvalidValue: the URL or an option is none.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        options = dict(options or {})
        parts = urlsplit(url)
        client = {**_CLIENT, **options.pop("client_options", {})}
        named = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT", "")
        if str(options.get("endpoint", named)).startswith("http://"):
            client.setdefault("allow_http", True)  # that was asked for; objects are sealed anyway
        retry = {**_RETRY, **options.pop("retry_config", {})}
        self.address = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
        try:
            self._store: Any = _open(url, client_options=client, retry_config=retry, **options)
        except BaseError as error:
            raise InvalidValue(
                f"{self.address} cannot be used as a mailbox with these options ({_kind(error)}); "
                "see docs/mailboxes.md"
            ) from None

    def put(self, name: str, body: bytes) -> None:
        """See `Mailbox.put`."""
        check_name(name)
        check_body(body)
        with self._errors(name):
            obstore.put(self._store, name, body, use_multipart=False)

    def get(self, name: str) -> bytes:
        """See `Mailbox.get`."""
        check_name(name)
        with self._errors(name):
            found = obstore.get(self._store, name)
            size = found.meta["size"]
            if size > limits.MAILBOX_OBJECT_BYTES:
                raise too_long(name, self.address)
            body = bytes(found.bytes())
        if len(body) != size:
            raise self._damaged(name)
        return body

    def list(self, folder: str) -> list[str]:
        """See `Mailbox.list`."""
        check_name(folder)
        with self._errors(folder):
            pages = obstore.list(self._store, folder, chunk_size=1000)
            return sorted(one["path"] for page in pages for one in page if is_name(one["path"]))

    def delete(self, name: str) -> None:
        """See `Mailbox.delete`."""
        check_name(name)
        with suppress(NoSuchObject), self._errors(name):
            obstore.delete(self._store, name)

    def written_ms(self, name: str) -> int:
        """See `mailbox.Dated`: to the second."""
        with self._errors(check_name(name)):
            written: datetime = obstore.head(self._store, name)["last_modified"]
        return int(written.timestamp()) * 1000

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            raise self._named(error, name) from None  # its words may hold a key

    def _named(self, error: Exception, name: str) -> Exception:
        text = str(error)
        status = int(found[1]) if (found := _STATUS.search(text)) else 0
        code = found[1] if (found := _CODE.search(text)) else ""
        said = f"{name} in {self.address}: {status or _kind(error)}{code and ' ' + code}"
        if code in _NOT_THERE:
            return MailboxUnreachable(f"{said}; there is no such bucket, make it or mend the URL")
        if status == 404 or isinstance(error, FileNotFoundError):
            return no_such_object(name, self.address)
        if status == 507 or code in _FULL:
            return MailboxFull(f"{said}; the storage is full, free some space or raise its quota")
        if status in (401, 403) or code in _CREDENTIALS | _CLOCK:
            return _forbidden(said, code)
        if status in (408, 429) or status >= 500 or code in _BUSY:
            return MailboxBusy(f"{said}; the storage cannot answer for now, try again later")
        if status == 0 and _CUT_OFF.search(text):
            return self._damaged(name)
        if status == 0:
            return MailboxUnreachable(
                f"{said}; no answer, or the line broke: is the network there, and the URL right?"
            )
        return MailboxError(f"{said}; the storage refuses the request")

    def _damaged(self, name: str) -> MailboxDamaged:
        return MailboxDamaged(
            f"{name} in {self.address} came only in part; try again, and if it stays so remove it"
        )

    def __repr__(self) -> str:
        return f"ObjectStoreMailbox({self.address!r})"


def _forbidden(said: str, code: str) -> MailboxForbidden:
    if code in _CLOCK:
        return MailboxClockWrong(
            f"{said}; the clock of this device is too far from the storage's, set date, time and time zone"
        )
    return MailboxForbidden(
        f"{said}; the storage refuses these credentials, check keys, rights and the clock"
    )


def _kind(error: Exception) -> str:
    return type(error).__name__
