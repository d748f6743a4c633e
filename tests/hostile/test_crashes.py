"""The interpreter itself: nesting and lengths that kill a process, tried in a process of their own. Source: A1, A2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import random, resource, sys, tempfile, threading
from pathlib import Path

from msgsync import MsgSyncError
from msgsync.cbor import decode_map
from msgsync.document.admission import admit
from msgsync.document.codec import decode_state
from msgsync.protocol.wire import FrameReader, decode_frame
from msgsync.records import decode_field, decode_message
from tests.hostile.mutation import mutated
from tests.hostile.peer import Liar
from tests.hostile.test_updates import ATTACKS, EXTRA, MONTH
from tests.hostile.test_records import BOMBS, HONEST
from tests.unit.machine import Machine
from msgsync import Replica

resource.setrlimit(resource.RLIMIT_AS, (2 << 30, resource.RLIM_INFINITY))
seed = int(sys.argv[1])
draw = random.Random(seed)


def change():
    kinds = ["set", "insert", "delete", "flip", "copy", "cut", "grow"]
    return [(draw.choice(kinds), draw.randrange(10**6), draw.randrange(256)) for _ in range(3)]


def inputs():
    yield from ATTACKS.values()
    yield from BOMBS.values()
    seeds = [*EXTRA, *(raw for _, raw in HONEST.values()), *(raw for raw in ATTACKS.values() if len(raw) < 500)]
    for _ in range(3000):
        yield mutated(draw.choice(seeds), change())


def attempt(read):
    try:
        read()
    except MsgSyncError:
        pass


def work():
    with tempfile.TemporaryDirectory() as folder:
        with Replica(Path(folder) / "a.db", author="ann", durability="relaxed", system=Machine()) as replica:
            replica.create_conversation("Family", id="family").send("kept")
            for number, raw in enumerate(inputs()):
                attempt(lambda: admit(MONTH, [raw], {}))
                attempt(lambda: decode_state(raw))
                attempt(lambda: decode_map(raw))
                attempt(lambda: decode_message(raw))
                attempt(lambda: decode_field(raw))
                for form in (b"\\0", b"\\1"):
                    attempt(lambda: decode_frame(form + raw))
                attempt(lambda: list(FrameReader().feed(raw)))
                if number < len(ATTACKS) or number % 50 == 0:
                    attempt(lambda: Liar(replica).push_one(MONTH, raw))
            assert replica.check().ok
            assert "kept" in [one.text for one in replica.conversation("family").messages()]
    done.append(True)


done = []
threading.stack_size(256 * 1024)
thread = threading.Thread(target=work)
thread.start()
thread.join()
print("survived" if done else "failed")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits there")
@pytest.mark.parametrize("seed", [1, 2])
def test_a_process_with_small_stacks_survives_every_attack_and_its_mutants(seed):
    here = Path(__file__).parents[2]
    path = os.pathsep.join([str(here), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PROGRAM, str(seed)],
        capture_output=True, text=True, timeout=55, check=False, cwd=here,
        env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "survived", done.stderr[-3000:]
