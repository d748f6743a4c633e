"""What the operating system says of a file, as a `MailboxError` that says what to do."""

from __future__ import annotations

import errno
from typing import Final

from msgsync.errors import (
    MailboxDamaged,
    MailboxError,
    MailboxForbidden,
    MailboxFull,
    MailboxReadOnly,
    MailboxUnreachable,
)

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN: Final = {errno.EACCES, errno.EPERM}
_NO_FILE: Final = {errno.ELOOP, errno.ENXIO, errno.EISDIR}


def file_error(error: OSError, where: str) -> MailboxError:
    """What is raised where a file or folder of a mailbox cannot be used; ``where`` it is, in words."""
    why = error.strerror
    if error.errno in _FULL:
        return MailboxFull(f"no room for {where} ({why}); free some space or raise the quota")
    if error.errno == errno.EROFS:
        return MailboxReadOnly(f"{where} is read-only ({why}); have it mounted writable")
    if error.errno in _FORBIDDEN:
        return MailboxForbidden(
            f"this user may not use {where} ({why}); change who may in that folder"
        )
    if error.errno in _NO_FILE:
        return MailboxDamaged(f"{where} is not a file ({why}); remove it")
    return MailboxUnreachable(f"{where} cannot be used ({why}); is the storage there and well?")
