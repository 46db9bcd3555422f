"""Ctrl-C and SIGTERM: what runs is cancelled and cleaned up, then the command exits with 130 or 143."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.commands.interrupt import until_interrupted
from harness.errors import FaultError, StackError

WORK = """
import asyncio, os, sys
from pathlib import Path
import harness.run, harness.session.stacks
from harness.cli import main

class Stack:
    name = "native"
    def lacks(self, need, on=None): return None
    async def start(self): pass
    async def stop(self):
        Path("stopped").write_text("yes")
        print("stopping", flush=True)
        await asyncio.sleep(3600 if "STUCK" in os.environ else 0)

async def run(plan, *, out, stack, progress, after=None):
    print("running", flush=True)
    await asyncio.sleep(3600)

harness.run.run = run
harness.session.stacks.open_stack = lambda plan, folder: Stack()
sys.argv[0] = "oneffect"
main()
"""


def started(project: Path, *words: str, **env: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=project,
        env={**os.environ, **env},
    )
    wait_for("running", process)
    return process


def wait_for(word: str, process: subprocess.Popen) -> None:
    while word not in (line := process.stdout.readline()):
        assert line, process.stderr.read()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_everything(project: Path, number: int, code: int) -> None:
    process = started(project, "run", "control")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "stopping" in out
    assert "interrupted by" in err
    assert "oneffect check .oneffect/runs/latest" in err
    assert "Traceback" not in err
    assert (project / "stopped").exists()


def test_both_lanes_of_a_demo_are_stopped(project: Path) -> None:
    process = started(project, "demo")
    wait_for("running", process)
    process.send_signal(signal.SIGTERM)
    wait_for("stopping", process)
    wait_for("stopping", process)
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_a_second_signal_leaves_at_once(project: Path) -> None:
    process = started(project, "run", "control", STUCK="1")
    process.send_signal(signal.SIGINT)
    wait_for("stopping", process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_the_result_comes_back() -> None:
    async def work() -> int:
        return 5

    assert until_interrupted(work(), Path("runs")) == 5


def test_of_several_errors_our_own_is_raised() -> None:
    async def work() -> None:
        raise ExceptionGroup("a", [ValueError("x"), ExceptionGroup("b", [FaultError("y"), StackError("z")])])

    with pytest.raises(FaultError, match="y"):
        until_interrupted(work(), Path("runs"))


def test_a_group_without_our_own_is_left_as_it_is() -> None:
    async def work() -> None:
        raise ExceptionGroup("a", [ValueError("x")])

    with pytest.raises(ExceptionGroup):
        until_interrupted(work(), Path("runs"))
