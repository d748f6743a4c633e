"""Chunks: keys, names and what is stored."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from msgsync import AttachmentDamaged, limits
from msgsync.account.suite import context
from msgsync.attachment.sealing import attachments_key, key_of, open_chunk, seal_chunk
from msgsync.ids import AccountId
from msgsync.records import chunk_name

ACCOUNT = AccountId(b"a" * 16)
KEY = key_of(attachments_key(b"e" * 32, ACCOUNT), b"text")


def test_the_key_of_a_chunk_is_a_hash_of_its_text_that_only_the_account_can_make():
    attachments = attachments_key(b"e" * 32, ACCOUNT)
    assert key_of(attachments, b"text") == hmac.new(attachments, b"text", hashlib.sha256).digest()
    others = {
        attachments_key(b"f" * 32, ACCOUNT),
        attachments_key(b"e" * 32, AccountId(b"b" * 16)),
    }
    assert attachments not in others
    assert len(others) == 2


def test_its_name_is_a_hash_of_the_key_with_a_context_of_its_own():
    said = hmac.new(KEY, context("chunk name"), hashlib.sha256).digest()
    assert chunk_name(KEY) == said[:16]


@pytest.mark.parametrize("size", [1, 4, 252, 253, 70_000, limits.CHUNK_BYTES])
def test_what_is_sealed_can_be_opened_and_is_the_same_each_time(size):
    text = bytes(range(256)) * (size // 256) + bytes(size % 256)
    sealed = seal_chunk(KEY, text)
    assert seal_chunk(KEY, text) == sealed
    assert open_chunk(KEY, sealed, size) == text
    assert 272 <= len(sealed) <= limits.SEALED_CHUNK_BYTES


def test_a_whole_chunk_needs_no_padding():
    assert len(seal_chunk(KEY, bytes(limits.CHUNK_BYTES))) == limits.SEALED_CHUNK_BYTES


def test_lengths_that_are_close_are_not_told_apart():
    assert len({len(seal_chunk(KEY, bytes(size))) for size in range(1, 253)}) == 1


@pytest.mark.parametrize("change", ["flip", "cut", "grow", "empty", "other key", "other size"])
def test_anything_else_is_damaged(change):
    sealed, key, size = seal_chunk(KEY, b"text"), KEY, 4
    if change == "flip":
        sealed = bytes((sealed[0] ^ 1,)) + sealed[1:]
    elif change == "cut":
        sealed = sealed[:-1]
    elif change == "grow":
        sealed += bytes(limits.SEALED_CHUNK_BYTES)
    elif change == "empty":
        sealed = b""
    elif change == "other key":
        key = bytes(32)
    else:
        size = 5
    with pytest.raises(AttachmentDamaged):
        open_chunk(key, sealed, size)
