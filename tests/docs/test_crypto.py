"""The programs of the specification of accounts print what stands below them, and do what the library does."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from msgsync import limits
from msgsync.account import handshake, seal, statements, suite
from msgsync.account.epochs import commitment_of
from msgsync.account.head import Kind
from msgsync.account.host import Host
from msgsync.account.joiner import Joiner
from msgsync.account.keys import SecretKeys
from msgsync.account.padding import padded_size
from msgsync.account.passphrase import DEAR, wrap
from msgsync.account.recovery import RecoveryPhrase
from msgsync.account.roster import Roster
from msgsync.account.statements import Add, Content, Epoch, Genesis, Recovery, Rename, Revoke
from msgsync.ids import AccountId
from tests.docs.page import DOCS, Output, run
from tests.unit.account.accounts import CHEAP, drawn, keys_of

PAGE = DOCS / "spec" / "crypto.md"
TEXT = PAGE.read_text(encoding="utf-8")
GOLDEN: dict[str, Any] = json.loads((DOCS.parent / "tests/vectors/sealed.json").read_text())


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Output]]:
    names: dict[str, Any] = {}
    return names, run(PAGE, tmp_path_factory.mktemp("crypto"), names)


@pytest.fixture(scope="module")
def spec(ran: tuple[dict[str, Any], object]) -> dict[str, Any]:
    return ran[0]


def rows(heading: str) -> list[list[str]]:
    """The rows of all tables below a heading, without the headings of the tables."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE):
        lines = table.splitlines()[2:]
        found += [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return found


def test_each_program_prints_what_stands_below_it(ran):
    for output in ran[1]:
        assert output.printed == output.shown, f"line {output.line}"
    assert sum(bool(output.shown) for output in ran[1]) >= 4


@given(
    parts=st.lists(st.binary(max_size=20), max_size=3), secret=st.binary(min_size=1, max_size=40)
)
def test_contexts_hashes_and_derivations_are_the_librarys(spec, parts, secret):
    assert spec["context"]("purpose", *parts) == suite.context("purpose", *parts)
    assert spec["hash_of"]("purpose", *parts) == suite.digest("purpose", *parts)
    assert spec["derive"](secret, "x", *parts, salt=b"s") == suite.derive(
        secret, "x", *parts, salt=b"s"
    )


def test_keys_are_the_librarys(spec):
    keys = keys_of("phone")
    assert spec["device_id"](keys.public.signing) == keys.device_id.raw
    wrapped = wrap(keys.export(), "Ångström", salt=bytes(16), cost=CHEAP)
    assert (
        spec["unwrap"](wrapped, "A\N{COMBINING RING ABOVE}ngstro\N{COMBINING DIAERESIS}m")
        == keys.export()
    )
    phrase = RecoveryPhrase(drawn("phrase"))
    assert SecretKeys(spec["phrase_keys"](phrase.export())) == phrase.keys()
    account = AccountId(drawn("account", 16))
    assert spec["commitment_of"](drawn("s"), account.raw) == commitment_of(drawn("s"), account)


def test_an_encrypted_file_is_read_with_nothing_but_the_page(spec):
    golden = json.loads((DOCS.parent / "tests/vectors/encrypted-1.json").read_text())
    file = bytes.fromhex(golden["file"])
    key = spec["file_key"](file, golden["passphrase"])
    assert key.hex() == golden["secret"]
    pages = [file[start : start + 512] for start in range(0, len(file), 512)]
    read = [spec["page_of_file"](key, number, page) for number, page in enumerate(pages, start=1)]
    assert read[0].startswith(b"SQLite format 3\0")
    assert b"Dinner at eight?" in b"".join(read)
    with pytest.raises(InvalidSignature):
        spec["page_of_file"](key, 2, pages[2])


@given(size=st.integers(2, 2**30))
def test_padded_sizes_are_the_librarys(spec, size):
    assert spec["padded_size"](size) == padded_size(size)


def test_a_roster_and_its_objects_are_read_with_nothing_but_the_page(spec):
    raws = [bytes.fromhex(raw) for raw in GOLDEN["statements"]]
    roster = Roster.read(raws)
    read = [spec["read_statement"](raw) for raw in raws]
    assert [fields[1] for fields in read] == [1, 2, 4]
    assert spec["account_of"](raws[0]) == roster.account.raw
    signing, secret = read[0][6][0], bytes.fromhex(GOLDEN["secret"])
    assert read[2][10] == spec["commitment_of"](secret, roster.account.raw)
    for raw, body, form in zip(GOLDEN["objects"], GOLDEN["bodies"], (0, 1), strict=True):
        head, text = spec["open_object"](bytes.fromhex(raw), secret, roster.account.raw, signing)
        assert head[2] == spec["device_id"](signing)
        assert text[0] == form
        assert seal._expanded(text).hex() == body
    with pytest.raises((InvalidTag, InvalidSignature)):
        spec["open_object"](
            bytes.fromhex(GOLDEN["objects"][0]), secret, roster.account.raw, drawn("x")
        )


def test_the_tables_of_statements_are_the_codes():
    kinds: list[type[Content]] = [Genesis, Add, Revoke, Epoch, Recovery, Rename]
    table = rows("Statements")
    numbers = {name: int(number) for name, number, *_ in table if name.isalpha()}
    assert numbers == {kind.__name__.lower(): kind.KIND for kind in kinds}
    fields = {
        name: {int(number) for number, who, *_ in table if name in re.split(", ", who)}
        for name in numbers
    }
    assert fields == {kind.__name__.lower(): statements._KINDS[kind.KIND] for kind in kinds}
    assert f"1 to {limits.PARENTS}" in TEXT


def test_the_tables_of_objects_and_frames_are_the_codes():
    kinds = ", ".join(f"{kind.value} {kind.name.lower()}" for kind in Kind)
    assert f"kind: {kinds}" in TEXT
    frames = {int(number): (name, sender) for number, name, sender, _ in rows("Pairing")}
    assert {n: name for n, (name, _) in frames.items()} == {
        kind.value: kind.name.lower() for kind in handshake.FrameType
    }
    reads = {kind.name.lower() for _, kind in Host.TRANSITIONS}
    assert reads == {name for name, sender in frames.values() if sender == "joiner"}
    reads = {kind.name.lower() for _, kind in Joiner.TRANSITIONS}
    assert reads == {name for name, sender in frames.values() if sender == "host"}
    assert (
        f"{DEAR.memory_kib // 1024} MiB, {DEAR.iterations} iterations, {DEAR.lanes} lanes" in TEXT
    )
