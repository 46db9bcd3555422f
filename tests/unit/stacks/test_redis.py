"""A real server on its own: what it has after a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.clients.exchange import dial
from harness.stacks.native.install import install
from harness.stacks.native.parts import require
from harness.stacks.native.ports import Ports
from harness.stacks.native.redis import RedisServer
from harness.stacks.process import Launch
from harness.stacks.reaper import VARIABLE
from harness.stacks.workspace import Workspace


@dataclass
class Store:
    """A server that has one key and was shut down cleanly."""

    server: RedisServer
    address: str

    async def say(self, command: bytes) -> bytes:
        await self.server.ready(60)
        async with dial(self.address) as (reader, writer):
            writer.write(command + b"\r\n")
            return (await reader.readline()).rstrip()

    async def keys(self) -> bytes:
        """Start it, and count its keys."""
        await self.server.start()
        return await self.say(b"DBSIZE")


@pytest.fixture
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    install()
    workspace, ports = Workspace(), Ports()
    address = f"127.0.0.1:{ports.take()}"
    launch = Launch((), {VARIABLE: workspace.token}, workspace.folder, tmp_path / "log")
    config: Mapping[str, str] = request.param
    server = RedisServer("redis", require().redis, address, folder=tmp_path / "data", config=config, launch=launch)
    made = Store(server, address)
    try:
        await server.start()
        assert await made.say(b"SET done:e1 1") == b"+OK"
        assert await server.stop() == 0
        yield made
        await server.kill()
    finally:
        workspace.close()
        ports.close()


@pytest.mark.parametrize("store", [{}, {"appendonly": "yes"}, {"save": "3600 1 300 100"}], indirect=True)
async def test_a_clean_restart_keeps_what_it_had(store: Store) -> None:
    assert await store.keys() == b":1"


@pytest.mark.parametrize("store", [{"save": ""}], indirect=True)
async def test_one_that_is_told_to_save_nothing_has_nothing(store: Store) -> None:
    assert await store.keys() == b":0"


@pytest.mark.parametrize("store", [{}, {"appendonly": "yes"}], indirect=True)
async def test_without_its_files_it_comes_back_empty(store: Store) -> None:
    await store.server.forget()
    assert await store.keys() == b":0"
