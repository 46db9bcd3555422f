"""A server of any kind starts by its command, keeps its folder, and is ended with the stack."""

from pathlib import Path

import pytest

from harness.dependency import Dependency
from harness.errors import PlanRefused
from harness.stacks.docker.stack import DockerStack, images
from harness.stacks.native.other import OtherServer
from harness.stacks.native.ports import Ports
from harness.stacks.native.stack import NativeStack
from harness.stacks.process import Launch
from harness.stacks.reaper import VARIABLE
from harness.system import System

CODE = """
import os, socketserver, sys
class Count(socketserver.StreamRequestHandler):
    def handle(self):
        for _ in self.rfile:
            open(sys.argv[2], "a").write("x")
            said = f"{len(open(sys.argv[2]).read())} {os.environ['LEVEL']} {os.environ.get('ONEFFECT_SECRET')} {os.getcwd()}"
            self.wfile.write(said.encode() + b"\\n")
socketserver.TCPServer.allow_reuse_address = True
socketserver.TCPServer(("127.0.0.1", int(sys.argv[1])), Count).serve_forever()
"""


def system(**fields):
    return System.model_validate(
        {
            "oneffect": 1,
            "name": "small",
            "dependencies": {"kafka": {"topics": {"orders": 1}}, "cache": fields},
            "services": {"shop": {"command": "shop", "image": "shop:1", "env": {"CACHE": "{cache}"}}},
            "load": {"upload": {"to": "shop", "post": "/"}},
            "events": {"id": "/id", "type": "/type", "topics": ["orders"]},
        }
    )


async def test_it_starts_by_its_command_and_finds_its_folder_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ONEFFECT_SECRET", "the harness's own")
    (tmp_path / "count.py").write_text(CODE)
    ports = Ports()
    port = ports.take()
    described = Dependency.model_validate(
        {
            "kind": "tcp",
            "command": "python count.py {port} {data}/count",
            "env": {"LEVEL": "level-{port}"},
            "ping": {"send": "\n", "answer": f" level-{port} None {tmp_path}\n"},
        }
    )
    launch = Launch((), {VARIABLE: "none", "LOG_LEVEL": "info"}, tmp_path, tmp_path / "cache.log")
    server = OtherServer("cache", described, f"127.0.0.1:{port}", folder=tmp_path / "files", launch=launch)
    try:
        await server.start()
        await server.ready(60.0)
        counted = len((tmp_path / "files" / "count").read_text())
        assert counted
        assert await server.kill() == -9
        await server.start()
        await server.ready(60.0)
        assert len((tmp_path / "files" / "count").read_text()) > counted
    finally:
        await server.kill()
        ports.close()


@pytest.mark.parametrize(
    ("fields", "stack", "says"),
    [
        ({}, NativeStack, "write kind: tcp, a command that starts it, and how to ping it"),
        ({}, DockerStack, "write kind: tcp, an image, and how to ping it"),
        ({"kind": "tcp", "ping": {"answer": "x"}}, NativeStack, "cache has no command"),
        ({"kind": "tcp", "ping": {"answer": "x"}, "command": "a {port}"}, DockerStack, "cache has no image"),
    ],
)
def test_what_a_stack_cannot_start_is_refused(fields, stack, says, tmp_path: Path) -> None:
    with pytest.raises(PlanRefused, match=says):
        stack(system(**fields), tmp_path)


def test_its_image_is_needed_on_docker() -> None:
    fields = {"kind": "tcp", "ping": {"answer": "x"}, "command": "a {port}", "image": "cache:1"}
    assert images(system(**fields))[-2:] == ["cache:1", "shop:1"]
