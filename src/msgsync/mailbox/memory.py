"""A mailbox in memory: for tests, and for devices within one process."""

from __future__ import annotations

import threading

from msgsync.mailbox.mailbox import check_body, check_name, no_such_object


class MemoryMailbox:
    """A mailbox that lasts as long as it is referred to.

    Args:
        address: what it is called; a replica tells mailboxes apart by it.
    """

    def __init__(self, address: str = "memory:") -> None:
        self.address = address
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, name: str, body: bytes) -> None:
        """See `Mailbox.put`."""
        check_name(name)
        with self._lock:
            self._objects[name] = bytes(check_body(body))

    def get(self, name: str) -> bytes:
        """See `Mailbox.get`."""
        with self._lock:
            found = self._objects.get(check_name(name))
        if found is None:
            raise no_such_object(name, self.address)
        return found

    def list(self, folder: str) -> list[str]:
        """See `Mailbox.list`."""
        prefix = f"{check_name(folder)}/"
        with self._lock:
            return sorted(name for name in self._objects if name.startswith(prefix))

    def delete(self, name: str) -> None:
        """See `Mailbox.delete`."""
        with self._lock:
            self._objects.pop(check_name(name), None)

    def __repr__(self) -> str:
        return f"MemoryMailbox({self.address!r})"
