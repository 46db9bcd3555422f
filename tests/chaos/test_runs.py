"""One warm stack, several runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.errors import ServiceExited, StackError
from harness.stack import RunNames
from harness.stacks.native.stack import NativeStack
from harness.system import System

SERVICE = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def system(tmp_path: Path, command: str = "python service.py {variant}") -> System:
    (tmp_path / "service.py").write_text(SERVICE)
    return System.model_validate(
        {
            "oneffect": 1,
            "name": "small",
            "dependencies": {},
            "services": {
                "one": {"command": command, "env": {"PORT": "{port}", "GROUP": "{group}", "DIR": "{data}"}},
                "two": {"command": "python service.py", "env": {"PORT": "{port}", "ONE": "http://{one}/"}},
            },
            "load": {"upload": {"to": "one", "post": "/"}},
            "events": {"id": "/id", "type": "/type", "topics": []},
            "variants": {"command": "python service.py {variant} {service}", "find": {"odd": []}},
        }
    )


def words(pid: int, what: str) -> list[str]:
    return Path(f"/proc/{pid}/{what}").read_bytes().decode().split("\0")[:-1]


async def test_a_stack_serves_one_run_after_the_other(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    stack = NativeStack(system(tmp_path), tmp_path / "logs", tmp_path)
    try:
        await stack.start()
        await stack.start_services(RunNames("r1"), tmp_path / "first", None)
        first = stack.services["one#1"].pid
        environment = words(first, "environ")
        assert "GROUP=one-r1" in environment
        assert f"DIR={tmp_path}/first/data/one" in environment
        assert not [word for word in environment if "hush" in word]
        assert f"ONE=http://{stack.links['two#1->one'].address}/" in words(stack.services["two#1"].pid, "environ")
        await stack.stop_services()
        assert stack.services == {}

        await stack.start_services(RunNames("r2"), tmp_path / "second", "odd")
        second = stack.services["one#1"].pid
        assert words(second, "cmdline")[-2:] == ["odd", "one"]
        assert "GROUP=one-r2" in words(second, "environ")
        await stack.stop_services(graceful=True)
    finally:
        await stack.stop()


async def test_a_service_that_ends_by_itself_is_said_with_the_end_of_its_log(tmp_path) -> None:
    stack = NativeStack(system(tmp_path, "python -c 'raise SystemExit(\"no luck\")'"), tmp_path / "logs", tmp_path)
    try:
        await stack.start()
        with pytest.raises(ServiceExited, match=r"(?s)one#1 ended with status 1.*no luck"):
            await stack.start_services(RunNames("r1"), tmp_path / "run", None)
        assert stack.services == {}
    finally:
        await stack.stop()


async def test_a_command_that_is_not_there_is_said(tmp_path) -> None:
    stack = NativeStack(system(tmp_path, "no-such-program"), tmp_path / "logs", tmp_path)
    try:
        await stack.start()
        with pytest.raises(StackError, match="no-such-program could not be started"):
            await stack.start_services(RunNames("r1"), tmp_path / "run", None)
    finally:
        await stack.stop()


async def test_a_stack_is_stopped_by_a_cancelled_start(tmp_path) -> None:
    stack = NativeStack(system(tmp_path), tmp_path / "logs", tmp_path)
    task = asyncio.create_task(stack.start())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await stack.stop()
    assert stack.pids() == {}
