"""A folder that tells when something comes: a mailbox in it is looked into at once. Source: design 9.

Needs `watchfiles`, of ``msgsync[mailbox]``. Without it, and where the system tells nothing, as of most network drives,
the folder is looked into now and then, as every mailbox is: so nothing here has to work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import anyio

from msgsync.mailbox.folder import FolderMailbox
from msgsync.mailbox.mailbox import Mailbox, is_name
from msgsync.transport.bell import Bell

_DEBOUNCE_MS: Final = 200
"""Files that come together, as those of one round do, are told of together."""

_QUIET_MS: Final = 5_000
"""So often it comes back with nothing."""


async def ring_when_told(mailbox: Mailbox, bell: Bell, again_s: float) -> None:
    """Ring whenever an object comes into a folder; return where that cannot be told.

    Args:
        mailbox: which may be of any kind.
        bell: rung in the event loop.
        again_s: when to look again for a folder that is not there, seconds.
    """
    if not isinstance(mailbox, FolderMailbox):
        return
    try:
        from watchfiles import Change, awatch
    except ImportError:
        return

    def concerns(change: Change, path: str) -> bool:
        try:
            name = Path(path).relative_to(mailbox.path).as_posix()
        except ValueError:
            return False
        return change != Change.deleted and is_name(name)

    options: dict[str, Any] = {
        "debounce": _DEBOUNCE_MS,
        "watch_filter": concerns,
        "rust_timeout": _QUIET_MS,
        "yield_on_timeout": True,
    }
    while True:
        try:
            is_new = True
            async for changes in awatch(mailbox.path, **options):
                if changes or is_new:  # something may have come before anybody watched
                    bell.ring()
                is_new = False
        except (OSError, RuntimeError):  # no such folder, or the system watches no more of them
            pass
        await anyio.sleep(again_s)
