"""What the errors of attempts mean: one table, by their classes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from msgsync import MsgSyncError, Reason, errors
from msgsync.replica.reasons import reason_for, reason_of_code


def tree(kind: type[MsgSyncError]) -> Iterator[type[MsgSyncError]]:
    yield kind
    for one in kind.__subclasses__():
        if one.__module__ == errors.__name__:
            yield from tree(one)


ERRORS = sorted(set(tree(MsgSyncError)), key=lambda one: one.__name__)


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_has_a_reason_and_its_code_the_same(kind):
    assert reason_of_code(kind.code) is reason_for(kind)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (errors.NoNetwork, Reason.NO_NETWORK),
        (errors.ConnectionLost, Reason.UNREACHABLE),
        (errors.MailboxUnreachable, Reason.UNREACHABLE),
        (errors.MailboxForbidden, Reason.CREDENTIALS),
        (errors.MailboxClockWrong, Reason.CLOCK),
        (errors.MailboxFull, Reason.PLACE_FULL),
        (errors.MailboxReadOnly, Reason.PLACE_READ_ONLY),
        (errors.MailboxError, Reason.PLACE_REFUSES),
        (errors.ObjectReplayed, Reason.DAMAGED_OBJECT),
        (errors.ObjectMissing, Reason.MISSING_OBJECT),
        (errors.AccountMismatch, Reason.WRONG_ACCOUNT),
        (errors.DeviceRevoked, Reason.REVOKED),
        (errors.VersionMismatch, Reason.VERSION),
        (errors.StorageFull, Reason.DISK_FULL),
        (errors.ReplicaDamaged, Reason.REPLICA_DAMAGED),
        (errors.Inadmissible, Reason.REFUSED),
    ],
)
def test_a_kind_of_error_means(kind, reason):
    assert reason_for(kind) is reason


def test_a_class_of_an_app_means_what_its_base_means():
    class TooManyStamps(errors.MailboxFull):
        code = "too-many-stamps"

    assert reason_for(TooManyStamps) is Reason.PLACE_FULL


def test_the_code_of_a_later_version_has_no_name_here():
    assert reason_of_code("made-of-cheese") is Reason.OTHER


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_says_what_it_is_and_what_to_do(reason):
    assert reason.what
    assert reason.remedy
    assert reason.what != reason.remedy


def test_only_what_passes_by_itself_waits():
    passing = {reason for reason in Reason if reason.passes}
    assert passing == {
        Reason.NO_NETWORK,
        Reason.UNREACHABLE,
        Reason.BUSY,
        Reason.MISSING_OBJECT,
        Reason.NOT_EQUAL,
        Reason.WAITING_FOR_DEVICE,
        Reason.NEXT_SYNC,
    }
