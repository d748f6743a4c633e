"""A bucket as a mailbox: a real S3 server over HTTP, and a line to it that fails."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from msgsync import (
    InvalidValue,
    Mailbox,
    MailboxBusy,
    MailboxClockWrong,
    MailboxDamaged,
    MailboxError,
    MailboxForbidden,
    MailboxFull,
    MailboxUnreachable,
    NoSuchObject,
    open_mailbox,
)
from msgsync.testing import check_mailbox
from tests.integration.bucket import Bucket, Fault, bucket_behind

SECRET = "nobody-is-told-this"
HASTE = {
    "region": "us-east-1",
    "access_key_id": "test",
    "secret_access_key": SECRET,
    "client_options": {"timeout": "1s"},
    "retry_config": {
        "max_retries": 2,
        "backoff": {
            "init_backoff": timedelta(milliseconds=1),
            "max_backoff": timedelta(milliseconds=2),
            "base": 2,
        },
    },
}
"""So that what never answers is given up soon."""
numbers = itertools.count()


@pytest.fixture
def bucket(server: str) -> Iterator[Bucket]:
    with bucket_behind(server, f"bucket{next(numbers)}") as found:
        yield found


def opened(bucket: Bucket, folder: str = "/a/folder", **options: Any) -> Mailbox:
    url = f"s3://{bucket.name}{folder}"
    return open_mailbox(url, **{"endpoint": bucket.endpoint, **HASTE, **options})


VERBS = {
    "put": lambda mailbox: mailbox.put("log/a", b"x"),
    "get": lambda mailbox: mailbox.get("log/a"),
    "list": lambda mailbox: mailbox.list("log"),
    "delete": lambda mailbox: mailbox.delete("log/a"),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("folder", "objects"), [("", 10), ("/a/folder", 1010)])
def test_a_bucket_passes_the_acceptance_suite(bucket, folder, objects):
    patient = {"timeout": "30s"}
    check_mailbox(lambda: opened(bucket, folder, client_options=patient), objects=objects)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("fault", "kind", "remedy"),
    [
        (Fault(503, "SlowDown"), MailboxBusy, "try again later"),
        (Fault(429, "TooManyRequests"), MailboxBusy, "try again later"),
        (Fault(500, "InternalError"), MailboxBusy, "try again later"),
        (Fault(507, "InsufficientStorage"), MailboxFull, "free some space"),
        (Fault(403, "QuotaExceeded"), MailboxFull, "raise its quota"),
        (Fault(403, "AccessDenied"), MailboxForbidden, "check keys"),
        (Fault(401, "Unauthorized"), MailboxForbidden, "check keys"),
        (Fault(400, "ExpiredToken"), MailboxForbidden, "check keys"),
        (Fault(403, "RequestTimeTooSkewed"), MailboxClockWrong, "the clock"),
        (Fault(404, "NoSuchBucket"), MailboxUnreachable, "make it"),
        (Fault(400, "InvalidRequest"), MailboxError, "refuses the request"),
        (Fault(silent=True), MailboxUnreachable, "is the network there"),
    ],
    ids=lambda one: one.code or "silent" if isinstance(one, Fault) else "",
)
def test_what_fails_has_a_name_and_a_remedy(bucket, verb, fault, kind, remedy):
    mailbox = opened(bucket, client_options={"timeout": "200ms"})
    bucket.always = fault
    with pytest.raises(kind, match=remedy) as raised:
        VERBS[verb](mailbox)
    assert type(raised.value) is kind
    assert SECRET not in repr(raised.value)
    assert raised.value.__suppress_context__
    bucket.always = None
    bucket.freed.set()
    mailbox.put("log/a", b"x")  # all is well again
    assert mailbox.get("log/a") == b"x"


@pytest.mark.parametrize("verb", ["put", "get", "list"])
def test_what_fails_for_a_moment_is_tried_again(bucket, verb):
    mailbox = opened(bucket)
    mailbox.put("log/a", b"x")
    bucket.faults.extend([Fault(503, "SlowDown"), Fault(500, "InternalError")])
    VERBS[verb](mailbox)
    assert not bucket.faults


def test_a_body_that_is_cut_off_is_fetched_to_its_end(bucket):
    mailbox = opened(bucket)
    body = bytes(range(256)) * 1000
    mailbox.put("log/a", body)
    bucket.faults.extend([Fault(cut_bytes=1000), Fault(cut_bytes=0)])
    assert mailbox.get("log/a") == body


def test_a_body_that_is_always_cut_off_is_no_object(bucket):
    mailbox = opened(bucket)
    mailbox.put("log/a", bytes(5000))
    bucket.always = Fault(cut_bytes=10)
    with pytest.raises(MailboxDamaged, match="only in part"):
        mailbox.get("log/a")


def test_a_listing_that_is_cut_off_is_none(bucket):
    mailbox = opened(bucket)
    mailbox.put("log/a", b"x")
    bucket.always = Fault(cut_bytes=30)
    with pytest.raises(MailboxError):
        mailbox.list("log")


def test_a_stale_listing_names_what_was_there(bucket):
    mailbox = opened(bucket)
    mailbox.put("log/a", b"x")
    assert mailbox.list("log") == ["log/a"]
    bucket.stale = bucket.last_listing
    mailbox.put("log/b", b"x")
    mailbox.delete("log/a")
    assert mailbox.list("log") == ["log/a"]
    with pytest.raises(NoSuchObject):
        mailbox.get("log/a")
    assert mailbox.get("log/b") == b"x"


def test_what_others_leave_in_the_bucket_is_passed_over(bucket):
    mailbox = opened(bucket)
    mailbox.put("log/a", b"x")
    import obstore

    for name in ("log/B", "log/a b", "log/x.tmp", "log/c/.hidden"):
        obstore.put(mailbox._store, name, b"y")  # type: ignore[attr-defined]
    assert mailbox.list("log") == ["log/a"]


def test_nobody_at_the_address(server):
    mailbox = open_mailbox("s3://bucket/x", endpoint="http://127.0.0.1:1", **HASTE)
    with pytest.raises(MailboxUnreachable, match="is the network there"):
        mailbox.list("log")


def test_addresses_hold_no_secrets():
    mailbox = open_mailbox("s3://user:secret@bucket/some/folder?token=abc", **HASTE)
    assert mailbox.address == "s3://bucket/some/folder"


@pytest.mark.parametrize(("url", "options"), [("s3://", {}), ("s3://bucket", {"colour": "red"})])
def test_what_is_no_bucket_or_no_option_is_refused(url, options):
    with pytest.raises(InvalidValue):
        open_mailbox(url, **HASTE, **options)
