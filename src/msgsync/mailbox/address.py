"""Mailboxes by their addresses."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from msgsync.errors import InvalidValue
from msgsync.mailbox.bundle import BundleMailbox
from msgsync.mailbox.folder import FolderMailbox
from msgsync.mailbox.mailbox import Mailbox

_BUCKETS: Final = ("s3", "gs", "az")
SCHEMES: Final = ("file", "bundle", *_BUCKETS)


def open_mailbox(url: str, **options: Any) -> Mailbox:
    """The mailbox at an address. Nothing is asked of it yet.

    Args:
        url: ``file:///PATH`` of a folder that is there; ``bundle:///PATH`` of one file; ``s3://BUCKET/FOLDER``,
            ``gs://BUCKET/FOLDER`` or ``az://ACCOUNT/CONTAINER/FOLDER``, which need ``msgsync[mailbox]``.
        options: for buckets: what `obstore` takes for that kind of storage, such as ``endpoint``, ``region``,
            ``access_key_id`` and ``secret_access_key``; else it is looked for in the environment.

    Raises:
        InvalidValue: it is no such address, or an option is none.
    """
    if not is_mailbox(url):
        raise InvalidValue(
            f"{url!r} is no address of a mailbox; it begins with one of "
            + ", ".join(f"{scheme}://" for scheme in SCHEMES)
            + "; a folder is file:// and the whole path, as in file:///home/ann/mailbox"
        )
    parts = urlsplit(url)
    if parts.scheme not in _BUCKETS:
        if parts.netloc not in ("", "localhost") or parts.path in ("", "/") or options:
            what = "folder" if parts.scheme == "file" else "file"
            raise InvalidValue(
                f"{url!r} names no {what}: three slashes, the whole path, no options, as in file:///home/ann/mailbox"
            )
        path = unquote(parts.path)
        return FolderMailbox(path) if parts.scheme == "file" else BundleMailbox(path)
    try:
        from msgsync.mailbox.objectstore import ObjectStoreMailbox
    except ImportError as error:
        raise InvalidValue(
            "buckets need obstore, which is not installed: pip install 'msgsync[mailbox]'"
        ) from error
    return ObjectStoreMailbox(url, options)


def is_mailbox(address: str) -> bool:
    """Whether an address is that of a mailbox, and not of a peer."""
    return address.partition("://")[0] in SCHEMES and "://" in address


def check_place(place: object) -> None:
    """Raise InvalidValue for a path, and for an address without its beginning, and say what to write instead."""
    if isinstance(place, PurePath) or (isinstance(place, str) and "://" not in place):
        path = Path(place).absolute()
        folder = path.as_uri() if path.is_dir() else "file:///PATH"
        raise InvalidValue(
            f"{str(place)!r} is not an address; a device is tcp://HOST:PORT, a folder {folder}"
        )
