"""Plans, scripts and simulations: what follows from a seed, what is refused, how a script is shrunk."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from msgsync import InvalidValue, Replica
from msgsync.testing import FaultPlan, SimulationFailed, Step, replay, simulate
from msgsync.testing.script import as_program, draw_script, shrink

SHORT = FaultPlan(steps=40)

PROGRAM = """
from pathlib import Path
from msgsync.testing import FaultPlan
from msgsync.testing.machine import fast_directory
from msgsync.testing.script import draw_script
from msgsync.testing.simulation import Simulation
plan = FaultPlan(steps=40)
with fast_directory() as name:
    simulation = Simulation(5, plan, Path(name))
    simulation.run(draw_script(5, plan))
    print([station.replica.digest.hex() for station in simulation.stations], simulation.figures)
    print(*simulation.told, sep=chr(10))
    simulation.close()
"""


def test_a_simulation_follows_from_its_seed_alone_in_whichever_process():
    def run(hash_seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONUTF8": "1"},
            capture_output=True,
            encoding="utf-8",
            check=True,
        ).stdout

    first = run("1")
    assert len(first.splitlines()) > 40
    assert run("2") == first


def test_a_script_follows_from_its_seed_and_plan_and_can_be_replayed():
    script = draw_script(3, SHORT)
    assert script == draw_script(3, SHORT)
    assert script != draw_script(4, SHORT)
    assert replay(script, 3, SHORT) == simulate(3, SHORT)


class Broken(Replica):
    """Does not say which conversations there are."""

    def conversations(self, **_):
        raise RuntimeError("planted")


def test_what_fails_with_an_opener_says_that_it_has_to_be_given_again():
    def opener(path, system):
        return Broken(path, author="ann", system=system)

    plan = replace(FaultPlan.calm(), steps=5)
    with pytest.raises(SimulationFailed, match=r"planted") as raised:
        simulate(1, plan, opener=opener, shrinks=False)
    assert "  replace(FaultPlan.calm(), steps=5),\n  opener=...,  # the one" in str(raised.value)
    program = str(raised.value).partition("replay(")[2].replace("opener=...", "opener=opener")
    with pytest.raises(SimulationFailed, match="planted"):
        eval(f"replay({program}", {**globals(), "opener": opener})


def test_a_calm_plan_has_no_faults_and_turns_on_what_is_wanted():
    calm = replace(FaultPlan.calm(), steps=200)
    people = {step.verb for step in draw_script(1, calm)}
    assert "send" in people
    with_kills = replace(calm, kills_one_in=5)
    assert {step.verb for step in draw_script(1, with_kills)} == people | {"kill"}


def test_a_plan_says_what_differs_and_is_checked():
    assert repr(FaultPlan()) == "FaultPlan()"
    plan = FaultPlan(devices=3, kills_one_in=None)
    assert repr(plan) == "FaultPlan(devices=3, kills_one_in=None)"
    assert eval(repr(plan)) == plan
    calm = replace(FaultPlan.calm(), kills_one_in=5)
    assert repr(calm) == "replace(FaultPlan.calm(), kills_one_in=5)"
    assert eval(repr(calm)) == calm
    for wrong in (
        {"devices": 1},
        {"devices": 8},  # more than most_devices
        {"kills_one_in": 0},
        {"kills_one_in": 1.5},
        {"jump_ms": -1},
        {"steps": True},
    ):
        with pytest.raises(InvalidValue):
            FaultPlan(**wrong)


def test_a_script_is_shrunk_to_what_fails():
    script = tuple(Step("send", 0, number) for number in range(100))
    runs = 0

    def fails(some):
        nonlocal runs
        runs += 1
        return {7, 70} <= {step.number for step in some}

    assert [step.number for step in shrink(script, fails)] == [7, 70]
    assert runs < 100
    assert len(shrink(script, fails, most_runs=3)) > 2
    assert shrink(script[:1], lambda some: not some) == ()


def test_a_script_is_printed_as_a_program_with_what_it_did():
    steps = (Step("send", 0, 1), Step("kill", 1, 2))
    printed = as_program(steps, ["device0: sends"])
    assert printed.splitlines()[0].endswith("# device0: sends")
    assert eval(f"[{printed}\n]") == list(steps)
