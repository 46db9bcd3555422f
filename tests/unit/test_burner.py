"""The burner of ``make busy``: so many processes a core, and none of them outlives what it is for."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

PATIENCE = 60.0
MODULE = "benchmarks.burner"
PARENT = f"""
import os, subprocess, sys
subprocess.run([sys.executable, "-m", "{MODULE}", str(os.getpid()), *sys.argv[1:]])
"""
CORES = len(os.sched_getaffinity(0))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the condition never came"
        time.sleep(0.02)


def living(process: psutil.Process) -> list[psutil.Process]:
    """The burner and those that burn."""
    return [one for one in process.children(recursive=True) if alive(one)]


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def started() -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], list[psutil.Process]]]]:
    """``started("--times", "1")``: whoever started the burner, and all its processes."""
    parents: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> tuple[subprocess.Popen[bytes], list[psutil.Process]]:
        parent = subprocess.Popen([sys.executable, "-c", PARENT, "--times", "1", *words])
        parents.append(parent)
        process = psutil.Process(parent.pid)
        until(lambda: len(living(process)) == CORES + 1)
        return parent, living(process)

    yield start
    for parent in parents:
        parent.kill()
        parent.wait()


def test_it_burns_on_every_core(started) -> None:
    _, processes = started()
    until(lambda: sum(one.cpu_times().user > 0.1 for one in processes) >= CORES)


def test_it_ends_when_whoever_started_it_is_killed(started) -> None:
    parent, processes = started()
    parent.kill()
    until(lambda: not any(map(alive, processes)))


def test_those_that_burn_end_when_it_is_killed(started) -> None:
    _, (burner, *burning) = started()
    burner.kill()
    until(lambda: not any(map(alive, burning)))


def test_it_ends_after_its_bound() -> None:
    words = [sys.executable, "-m", MODULE, str(os.getpid()), "--times", "1", "--most", "0.5"]
    assert subprocess.run(words, check=False, timeout=PATIENCE).returncode == 0
    until(
        lambda: (
            not [one for one in psutil.process_iter(["cmdline"]) if (one.info["cmdline"] or [])[1:4] == words[1:4]]
        )
    )


def test_it_does_not_begin_when_whoever_started_it_is_gone_already() -> None:
    nobody = subprocess.Popen([sys.executable, "-c", ""])
    nobody.wait()
    words = [sys.executable, "-m", MODULE, str(nobody.pid), "--times", "1"]
    assert subprocess.run(words, check=False, timeout=PATIENCE).returncode == 0
