"""Settings that every test shares: how hard hypothesis tries, and the event loops of async tests."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile

import pytest
from hypothesis import HealthCheck, Phase, settings

# `ci` is fast and draws new examples each time; what fails is printed as a blob that repeats it. All tests together are
# to take less than a quarter of an hour on two cores.
# Time is no criterion for a single example: machines differ, and every test has a timeout.
settings.register_profile(
    "ci",
    max_examples=30,
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# `deep` is for an idle machine (make deep).
settings.register_profile(
    "deep", settings.get_profile("ci"), max_examples=5_000, stateful_step_count=100
)
# `mutants` asks each of many changed programs whether a test fails, not with which smallest example (make mutants).
settings.register_profile(
    "mutants",
    settings.get_profile("ci"),
    database=None,
    derandomize=True,
    max_examples=40,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # Started in the background of a shell: the processes that tests interrupt would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


MEMORY = "/dev/shm"
if (
    "TMPDIR" not in os.environ
    and os.access(MEMORY, os.W_OK)
    and shutil.disk_usage(MEMORY).free > 4 << 30
):
    # Replicas wait for the disk at every commit. That takes half the time of all tests, and shows them nothing: what a
    # disk may do to a replica is simulated, above any disk.
    os.environ["TMPDIR"] = tempfile.tempdir = MEMORY


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills", type=int, default=24, help="processes that tests/faults kills (make kills: 300)"
    )


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each test marked `anyio` on both event loops."""
    return str(request.param)
