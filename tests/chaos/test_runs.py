"""Whole runs of the command on the real stack: what it leaves behind when it is killed, and what it says of silence."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
ONEFFECT = str(Path(sys.executable).with_name("oneffect"))
PATIENCE = 600.0


def scenario(folder: Path, load: str, faults: str = "[]") -> Path:
    path = folder / "one.yaml"
    system = ROOT / "reference_impl" / "system.yaml"
    path.write_text(f"oneffect: 1\nname: one\nsystem: {system}\nload: {load}\nfaults: {faults}\nexpect: valid\n")
    return path


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that would take minutes, in the middle of its load."""
    path = scenario(tmp_path, "{uploads: 600, rate: 20/s}")
    command = [ONEFFECT, "run", str(path), "--out", str(tmp_path / "runs"), "--seed", "1"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    ) as process:
        until(lambda: acknowledged(tmp_path) > 20 or process.poll() is not None)
        yield process
        process.kill()


def acknowledged(tmp_path: Path) -> int:
    history = tmp_path / "runs" / "latest" / "history.jsonl"
    return history.read_text().count('"op":"upload","phase":"ok"') if history.is_file() else 0


def until(condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the condition never came"
        time.sleep(0.1)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, *(pytest.param(one, marks=pytest.mark.wide) for one in (signal.SIGTERM, signal.SIGINT))],
    ids=lambda number: number.name,
)
def test_nothing_is_left_and_the_history_can_be_judged(
    running: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    children = psutil.Process(running.pid).children(recursive=True)
    assert len(children) >= 9, "services, broker, store, proxies and the reaper"
    data = [
        Path(file.path) for child in children if "file_service" in child.cmdline()[-1] for file in child.open_files()
    ]
    assert any(path.name == "db" for path in data)
    os.kill(running.pid, number)
    running.wait(PATIENCE)
    until(lambda: not alive(children))
    until(lambda: not any(path.exists() for path in data if path.name == "db"))
    checked = subprocess.run(
        [ONEFFECT, "check", str(tmp_path / "runs" / "latest")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 3, checked.stdout + checked.stderr
    assert "UNKNOWN" in checked.stdout


def run_whole(folder: Path, load: str, faults: str) -> subprocess.CompletedProcess[str]:
    words = [ONEFFECT, "run", str(scenario(folder, load, faults)), "--out", str(folder / "runs"), "--seed", "1"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE)


@pytest.mark.wide
def test_without_a_load_the_verdict_is_unknown(tmp_path: Path) -> None:
    faults = '[{fault: net.latency, on: "file_service->content_service", at: 100%, for: 1s, latency: 50ms}]'
    done = run_whole(tmp_path, "{uploads: 1, rate: 2/s}", faults)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "too_few_operations" in done.stdout


@pytest.mark.wide
def test_a_fault_comes_once_the_system_has_answered(tmp_path: Path) -> None:
    """Its moment is that of the load's start: no upload can have been answered by then."""
    faults = '[{fault: net.latency, on: "file_service->content_service", at: 0s, for: 1s, latency: 50ms}]'
    done = run_whole(tmp_path, "{uploads: 40, rate: 20/s}", faults)
    assert done.returncode == 0, done.stdout + done.stderr
