"""A replica without an HTTP endpoint is ready once it has printed what it is to print."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import StackError
from harness.stack import RunNames
from harness.stacks.native.service import NativeService, Place, Printed
from harness.stacks.reaper import VARIABLE
from harness.system import System

WORKS = """
import sys, time
while not __import__("os").path.exists("go"):
    time.sleep(0.01)
print("worker", "started")
time.sleep(60)
"""


def worker(folder: Path) -> NativeService:
    system = System.model_validate(
        {
            "oneffect": 1,
            "name": "works",
            "dependencies": {"kafka": {"topics": {"orders": 1}}},
            "services": {"worker": {"command": "python work.py", "ready": {"prints": "worker started"}}},
            "load": {"publish": {"topic": "orders", "value": {"id": "{id}", "type": "t"}}},
            "events": {"id": "/id", "type": "/type", "topics": ["orders"]},
        }
    )
    (folder / "work.py").write_text(WORKS)
    env = {"TMPDIR": str(folder), VARIABLE: "none"}
    place = Place(system, "worker#1", "127.0.0.1:1", {}, RunNames("r1"), folder, folder / "files", None, env, folder)
    return NativeService(place)


async def test_it_is_ready_once_it_has_printed_its_text_and_again_after_a_restart(tmp_path: Path) -> None:
    one, go = worker(tmp_path), tmp_path / "go"
    await one.start()
    try:
        with pytest.raises(StackError, match=r"worker#1 was not ready within 0\.2 s"):
            await one.ready(0.2)
        go.touch()
        await one.ready(60)
        assert await one.state() == "ready"
        await one.kill()
        go.unlink()
        await one.start()
        assert await one.state() == "starting"
        with pytest.raises(StackError):
            await one.ready(0.2)
        go.touch()
        await one.ready(60)
    finally:
        await one.kill()


def test_a_text_is_found_wherever_it_is_cut(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for cut in range(1, len("started")):
        printed = Printed(log, b"started")
        log.write_bytes(b"x" * 3_000_000 + b"started"[:cut])
        assert not printed.look()
        with log.open("ab") as more:
            more.write(b"started"[cut:] + b"\n")
        assert printed.look()


def test_what_was_printed_before_does_not_count(tmp_path: Path) -> None:
    log = tmp_path / "log"
    printed = Printed(log, b"started")
    printed.forget()
    log.write_bytes(b"started\nsta")
    assert printed.look()
    printed.forget()
    assert not printed.look()
    with log.open("ab") as more:
        more.write(b"rted")
    assert not printed.look(), "half of it is of another life"
