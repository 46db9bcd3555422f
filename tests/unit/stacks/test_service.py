"""A replica is ready once it answers 2xx or, without an HTTP endpoint, has printed what it is to print."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
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


DAEMON = """
import os, signal, subprocess, sys, time
if sys.argv[1:]:
    print("worker started", os.getpid(), flush=True)
    time.sleep(600)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
subprocess.Popen([sys.executable, __file__, "worker"], start_new_session=True)
time.sleep(600)
"""
"""Puts its worker into a session of its own."""


async def with_worker(folder: Path) -> tuple[NativeService, psutil.Process]:
    """Start a replica whose worker is in another session."""
    service = worker(folder)
    (folder / "work.py").write_text(DAEMON)
    await service.start()
    await service.ready(60)
    (started,) = psutil.Process(service.pid).children()
    return service, started


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_no_worker_outlives_its_replica(tmp_path: Path, how: str) -> None:
    service, started = await with_worker(tmp_path)
    try:
        assert service.pid is not None
        assert os.getsid(started.pid) != os.getsid(service.pid)
        assert await getattr(service, how)() == (-signal.SIGKILL if how == "kill" else 0)
        assert not psutil.pid_exists(started.pid) or started.status() == psutil.STATUS_ZOMBIE
    finally:
        with suppress(psutil.NoSuchProcess):
            started.kill()
        await service.kill()


async def test_a_worker_is_paused_and_resumed_with_its_replica(tmp_path: Path) -> None:
    service, started = await with_worker(tmp_path)
    try:
        await service.pause()
        await until(lambda: started.status() == psutil.STATUS_STOPPED)
        await service.resume()
        await until(lambda: started.status() == psutil.STATUS_SLEEPING)
    finally:
        await service.kill()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)
