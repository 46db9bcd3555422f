"""Tests that are asked to end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

CHILD = """
import subprocess
import sys
import time

import pytest


@pytest.fixture
def child():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open("child", "w") as file:
        print(child.pid, file=file)
    yield child
    child.kill()
    child.wait()


def test_that_takes_long(child):
    time.sleep(600)
"""


def test_sigterm_ends_what_a_fixture_started(tmp_path: Path) -> None:
    (tmp_path / "test_long.py").write_text(CHILD)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", "test_long.py"]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    tests = subprocess.Popen(words, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    written, deadline = tmp_path / "child", time.monotonic() + 120
    while not (written.exists() and written.read_text().endswith("\n")):
        assert tests.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    tests.send_signal(signal.SIGTERM)
    assert tests.wait(120) == 2
    assert not Path("/proc", written.read_text().strip()).exists()
