"""A replica is ready once it answers 2xx or, without an HTTP endpoint, has printed what it is to print."""

from __future__ import annotations

import asyncio
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


def worker(folder: Path, ready: object = None, address: str = "127.0.0.1:1") -> NativeService:
    system = System.model_validate(
        {
            "oneffect": 1,
            "name": "works",
            "dependencies": {"kafka": {"topics": {"orders": 1}}},
            "services": {"worker": {"command": "python work.py", "ready": ready or {"prints": "worker started"}}},
            "load": {"publish": {"topic": "orders", "value": {"id": "{id}", "type": "t"}}},
            "events": {"id": "/id", "type": "/type", "topics": ["orders"]},
        }
    )
    (folder / "work.py").write_text(WORKS)
    env = {"TMPDIR": str(folder), VARIABLE: "none"}
    place = Place(system, "worker#1", address, {}, RunNames("r1"), folder, folder / "files", None, env, folder)
    return NativeService(place)


async def test_it_is_ready_once_it_has_printed_its_text_and_again_after_a_restart(tmp_path: Path) -> None:
    one, go = worker(tmp_path), tmp_path / "go"
    await one.start()
    try:
        with pytest.raises(
            StackError, match=r"worker#1 was not ready within 0\.2 s; it has not printed 'worker started'; "
        ):
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


async def test_one_that_answers_otherwise_is_not_ready_and_what_it_was_asked_is_said(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1")
    (address,) = (f"127.0.0.1:{one.getsockname()[1]}" for one in server.sockets)
    one = worker(tmp_path, "/healthz", address)
    await one.start()
    try:
        with pytest.raises(
            StackError, match=rf"not ready within 0\.2 s; GET http://{address}/healthz: the answer was 404; "
        ):
            await one.ready(0.2)
    finally:
        await one.kill()
        server.close()
