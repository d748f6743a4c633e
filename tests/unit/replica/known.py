"""What a device knows of others."""

from __future__ import annotations

import msgsync
from msgsync import Replica


def devices_of(replica: Replica, message: msgsync.Message) -> set[msgsync.DeviceId]:
    return set(replica.where_is(message).devices)


def summary(replica: Replica, of: Replica) -> msgsync.DeviceSummary:
    [found] = [each for each in replica.devices() if each.id == of.device]
    return found
