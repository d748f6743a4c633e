"""What an app needs to test that its devices converge; see docs/testing.md. Needs hypothesis: msgsync[testing].

- `SimulatedSystem`, `SimulatedNetwork`: a clock and randomness, and connections, that follow from a seed.
- `assert_converged`, `assert_sound`, `view`: whether replicas show the same, and whether one is right with itself.
- `assert_claims_hold`: whether what one says of other devices is true of them.
- `texts`, `emojis`, `authors`, `times`, `external_ids`, `messages`, `histories`, `deliveries`: strategies.
- `ReplicaMachine`: a stateful test over devices to extend with an app's own rules; `some` picks a device.
- `ReferenceReplica`: what msgsync promises, written a second time from its design; `assert_shows` compares.

Everything here is for tests: it reads whole replicas, and raises AssertionError where something is not as it must be.
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("hypothesis") is None:
    raise ImportError(
        "msgsync.testing needs hypothesis, which is not installed: pip install 'msgsync[testing]'",
        name="hypothesis",
    )

from msgsync.testing.checks import assert_converged, assert_sound, differences, view
from msgsync.testing.claims import assert_claims_hold
from msgsync.testing.devices import Device
from msgsync.testing.expectation import assert_readable, assert_shows
from msgsync.testing.machine import ReplicaMachine, some
from msgsync.testing.network import Link, SimulatedNetwork
from msgsync.testing.reference.replica import ReferenceReplica
from msgsync.testing.strategies import (
    authors,
    deliveries,
    emojis,
    external_ids,
    histories,
    messages,
    texts,
    times,
)
from msgsync.testing.system import SimulatedSystem
from msgsync.testing.world import World

__all__ = [
    "Device",
    "Link",
    "ReferenceReplica",
    "ReplicaMachine",
    "SimulatedNetwork",
    "SimulatedSystem",
    "World",
    "assert_claims_hold",
    "assert_converged",
    "assert_readable",
    "assert_shows",
    "assert_sound",
    "authors",
    "deliveries",
    "differences",
    "emojis",
    "external_ids",
    "histories",
    "messages",
    "some",
    "texts",
    "times",
    "view",
]
