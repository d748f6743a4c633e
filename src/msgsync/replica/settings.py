"""The settings of the account: the fields of its document. Source: design 4."""

from __future__ import annotations

from typing import Any

from msgsync.document.schema import ACCOUNT, FIELDS, DocumentId, Entry
from msgsync.errors import InvalidValue
from msgsync.records import APP, FieldRecord, encode_field
from msgsync.replica.head import checked_name
from msgsync.store.store import Store


def read(store: Store) -> dict[str, Any]:
    """See `Replica.settings`."""
    row = store.documents.find(DocumentId("", ACCOUNT))
    if row is None:
        return {}
    found = store.heads.fields(row.key, APP)
    days = store.heads.field(row.key, "retention_days")
    return found | ({} if days is None else {"retention_days": days})


def checked(name: str, value: Any) -> str:
    """Check a setting; return the name of its field. Raises InvalidValue."""
    if name == "retention_days":
        if value is not None and not (type(value) is int and 1 <= value <= 3650):
            raise InvalidValue(f"retention_days is a whole number from 1 to 3650, not {value!r}")
        return name
    return APP + checked_name(name, APP)


def write(store: Store, field: str, value: Any) -> None:
    """Write a field of the account's document; within a transaction."""
    row = store.row(DocumentId("", ACCOUNT))
    stamp = store.next_stamp(row)
    store.write(row, [Entry(FIELDS, stamp.key(), encode_field(FieldRecord(field, value)))])
