"""What an app needs to test that its devices converge; see docs/testing.md. Needs hypothesis: msgsync[testing].

- `simulate`: many devices, a bad network, wrong clocks and failing disks from one seed; `FaultPlan` says how bad.
- `assert_survives_power_loss`, `assert_survives_failing_disk`: what an app writes, cut off at every write.
- `SimulatedSystem`, `SimulatedNetwork`, `SimulatedDisk`: a clock, connections and a disk that do what they are told.
- `assert_converged`, `assert_sound`, `view`: whether replicas show the same, and whether one is right with itself.
- `assert_claims_hold`: whether what one says of other devices is true of them.
- `texts`, `emojis`, `authors`, `times`, `external_ids`, `messages`, `histories`, `deliveries`: strategies.
- `check_mailbox`: whether an app's own `msgsync.Mailbox` does what it should.
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
from msgsync.testing.disk import DiskFault, SimulatedDisk
from msgsync.testing.expectation import assert_readable, assert_shows
from msgsync.testing.machine import ReplicaMachine, some
from msgsync.testing.mailboxes import check_mailbox
from msgsync.testing.network import Link, SimulatedNetwork
from msgsync.testing.plan import FaultPlan
from msgsync.testing.reference.replica import ReferenceReplica
from msgsync.testing.script import Step
from msgsync.testing.simulate import SimulationFailed, replay, simulate
from msgsync.testing.simulation import Figures
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
from msgsync.testing.survival import assert_survives_failing_disk, assert_survives_power_loss
from msgsync.testing.system import SimulatedSystem
from msgsync.testing.world import World

__all__ = [
    "Device",
    "DiskFault",
    "FaultPlan",
    "Figures",
    "Link",
    "ReferenceReplica",
    "ReplicaMachine",
    "SimulatedDisk",
    "SimulatedNetwork",
    "SimulatedSystem",
    "SimulationFailed",
    "Step",
    "World",
    "assert_claims_hold",
    "assert_converged",
    "assert_readable",
    "assert_shows",
    "assert_sound",
    "assert_survives_failing_disk",
    "assert_survives_power_loss",
    "authors",
    "check_mailbox",
    "deliveries",
    "differences",
    "emojis",
    "external_ids",
    "histories",
    "messages",
    "replay",
    "simulate",
    "some",
    "texts",
    "times",
    "view",
]
