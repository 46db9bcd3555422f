"""``--stack NAME``: the stack that the tests which need one run on; one body for all."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from harness.stack import Stack
from harness.stacks import TABLE, make_stack
from harness.stacks.native.install import install
from harness.system import System

# How long an example takes says how busy the machine is.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


# Asked to end, pytest would leave at once, and what its tests started would stay: this way their fixtures end it.
signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    started = [name for name in TABLE if name != "external"]
    parser.addoption("--stack", default="native", choices=started, help="the stack that tests run on")


@pytest.fixture(scope="session")
def stack_name(pytestconfig: pytest.Config) -> str:
    """The stack's name; what it needs from registries is installed. Images are `make image`'s matter."""
    name: str = pytestconfig.getoption("--stack")
    if name != "docker":
        install()
    return name


@pytest.fixture(scope="session")
def open_stack(stack_name):
    """``open_stack(system, folder, cwd)``: a stack that is not started, its logs in a folder."""

    def opened(system: System, folder: Path, cwd: Path) -> Stack:
        return make_stack(stack_name, system, folder, working_directory=cwd)

    return opened
