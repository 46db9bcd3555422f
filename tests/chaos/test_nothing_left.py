"""However the harness ends, nothing that it started outlives it; and all of it listens on loopback only."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from harness.stacks.reaper import LABEL
from harness.stacks.workspace import Workspace

GENEROUS = 120.0
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}
LISTENING = "0A"


@pytest.fixture
def holder(stack_name, tmp_path):
    with subprocess.Popen(
        [sys.executable, Path(__file__).with_name("holder.py"), tmp_path, stack_name],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def alive(pid: int) -> bool:
    """A zombie has ended; when it is buried is its new parent's matter."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it holds before a generous deadline."""
    deadline = time.monotonic() + GENEROUS
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return held


def containers(stack_name: str, token: str) -> list[str]:
    """Those of a stack; none where there are none."""
    if stack_name != "docker":
        return []
    command = ["docker", "ps", "--all", "--quiet", "--filter", f"label={LABEL}={token}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def left(stack_name: str, told: dict) -> list[object]:
    """What there still is of a stack: its folder, its processes, its containers."""
    folder = [told["folder"]] if Path(told["folder"]).exists() else []
    return [*folder, *filter(alive, told["pids"]), *containers(stack_name, told["token"])]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_harness(stack_name, holder, number) -> None:
    told = started(stack_name, holder)
    os.kill(holder.pid, number)
    holder.wait(GENEROUS)
    assert soon(lambda: not left(stack_name, told))


def test_what_outlives_the_harness_and_its_reaper_goes_when_the_next_stack_starts(stack_name, holder) -> None:
    told = started(stack_name, holder)
    os.kill(told["reaper"], signal.SIGKILL)
    holder.kill()
    holder.wait(GENEROUS)
    # On a busy machine a killed process takes a while to die, and until then it holds the folder's lock.
    assert soon(lambda: not alive(told["reaper"]))
    assert any(map(alive, told["pids"]))
    assert len(containers(stack_name, told["token"])) == (7 if stack_name == "docker" else 0)
    workspace = Workspace()
    try:
        assert not left(stack_name, told)
    finally:
        workspace.close()


def started(stack_name: str, holder: subprocess.Popen[bytes]) -> dict:
    """What the holder says of its stack, once all of that is there."""
    told: dict = json.loads(holder.stdout.readline())
    assert len(told["pids"]) == 8
    assert all(map(alive, told["pids"]))
    assert len(containers(stack_name, told["token"])) == (7 if stack_name == "docker" else 0)
    return told


@pytest.mark.asyncio(loop_scope="session")
async def test_all_listen_on_loopback_only(rig) -> None:
    pids = rig.stack.pids()
    ports = await asyncio.to_thread(listening, list(pids.values()))
    assert len(ports) >= len(pids)
    assert all(20000 <= port < 32768 for port in ports)


def listening(pids: list[int]) -> set[int]:
    """Ports that the processes listen on; fails on one that is not on loopback."""
    inodes = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            target = str(entry.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTENING and words[9] in inodes:
                address, _, port = words[1].partition(":")
                assert address in LOOPBACK, line
                ports.add(int(port, 16))
    return ports


@pytest.mark.asyncio(loop_scope="session")
async def test_two_stacks_in_one_process_do_not_meet(rig, tmp_path) -> None:
    """The rig runs already; a second one starts, serves and goes, and the first does not notice."""
    other = type(rig.stack)(rig.system, tmp_path, Path(__file__).parent)
    try:
        await other.start()
        mine, theirs = rig.stack.pids(), other.pids()
        assert not set(mine.values()) & set(theirs.values())
        assert not {link.address for link in rig.stack.links.values()} & {
            link.address for link in other.links.values()
        }
        answers = [(await link.probe(5)).answered for link in other.links.values() if link.dependency != "peer"]
        assert all(answers)
    finally:
        await other.stop()
    assert not any(map(alive, theirs.values()))
    assert rig.stack.pids() == mine
