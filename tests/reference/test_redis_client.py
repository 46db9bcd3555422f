from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from harness.stacks.native.install import install
from harness.stacks.native.parts import require
from harness.stacks.native.ports import Ports
from harness.stacks.native.redis import RedisServer
from harness.stacks.process import Launch
from harness.stacks.reaper import VARIABLE
from harness.stacks.workspace import Workspace
from reference_impl.service_libs.errors import RedisUnavailable
from reference_impl.service_libs.metrics import Metrics
from reference_impl.service_libs.protocols import Claim
from reference_impl.service_libs.redis_client import RedisClient


class Server:
    """Speaks just enough RESP to answer, to be silent, or to answer late."""

    port: int

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.connections = 0
        self.answer: Callable[[bytes], bytes | None] = lambda _command: b"+OK\r\n"
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        while data := await reader.read(65536):
            self.received.append(data)
            answer = self.answer(data)
            if answer is not None:
                writer.write(answer)
        writer.close()

    def commands(self, name: bytes) -> list[bytes]:
        return [data for data in self.received if name in data]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()
    for writer in server.writers:
        writer.close()
    await asyncio.sleep(0)


@pytest.fixture
async def client(server: Server, metrics: Metrics) -> AsyncIterator[RedisClient]:
    client = RedisClient(f"redis://127.0.0.1:{server.port}/0", metrics, connect_timeout=5, command_timeout=0.1)
    yield client
    await client.stop()


@pytest.fixture
async def real(metrics: Metrics, tmp_path: Path) -> AsyncIterator[RedisClient]:
    """A client of a real server, which alone runs the scripts."""
    install()
    workspace, ports = Workspace(), Ports()
    address = f"127.0.0.1:{ports.take()}"
    launch = Launch((), {VARIABLE: workspace.token}, workspace.folder, tmp_path / "log")
    store = RedisServer("redis", require().redis, address, folder=tmp_path / "data", config={}, launch=launch)
    client = RedisClient(f"redis://{address}/0", metrics, connect_timeout=30, command_timeout=30)
    try:
        await store.start()
        await store.ready(60)
        yield client
        await client.stop()
        await store.stop()
    finally:
        workspace.close()
        ports.close()


async def test_it_starts_with_a_ping(client, server):
    server.answer = lambda _: b"+PONG\r\n"
    await client.start()
    assert len(server.commands(b"PING")) == len(server.received) == 1
    assert client.available


async def test_a_claim_whose_reply_is_lost_is_sent_once(client, server, metrics):
    server.answer = lambda _: None
    with pytest.raises(RedisUnavailable, match="Timeout"):
        await client.set_if_not_exists("k", "v", 10)
    assert len(server.commands(b"SET")) == 1
    assert client.available is False
    assert metrics._registry.get_sample_value("redis_errors_total") == 1


async def test_a_late_reply_is_never_taken_for_the_next_ones(client, server):
    server.answer = lambda _: None
    with pytest.raises(RedisUnavailable):
        await client.delete_key("first")
    server.writers[0].write(b":7\r\n")
    server.answer = lambda _: b":1\r\n"
    assert await client.delete_key("second") == 1
    assert server.connections == 2


async def test_a_cancelled_command_leaves_no_reply_behind(client, server):
    server.answer = lambda _: None
    task = asyncio.create_task(client.delete_key("first"))
    while not server.received:
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
    server.writers[0].write(b":7\r\n")
    server.answer = lambda _: b":1\r\n"
    assert await client.delete_key("second") == 1


@pytest.mark.parametrize(("answer", "ours"), [(b"+OK\r\n", True), (b"$-1\r\n", False)])
async def test_set_if_not_exists_says_whose_the_key_is(client, server, answer, ours):
    server.answer = lambda _: answer
    assert await client.set_if_not_exists("k", {"any": "value"}, ttl_seconds=7) is ours
    (sent,) = server.received
    assert {b"SET", b"k", b"NX", b"EX", b"7"} <= set(sent.split(b"\r\n"))


@pytest.mark.parametrize(
    ("answer", "claim"), [(b":-1\r\n", Claim(True)), (b":0\r\n", Claim(False)), (b":1500\r\n", Claim(False, 1.5))]
)
async def test_a_claim_is_one_round_trip_and_says_what_it_found(client, server, answer, claim):
    server.answer = lambda _: answer
    assert await client.claim("done", "digest", "lease", "token", 7) == claim
    assert len(server.received) == 1


async def test_a_lease_is_held_by_one_token_which_alone_may_take_it_again_and_end_it(real):
    def claim(token):
        return real.claim("done", "digest", "lease", token, 7)

    assert await claim("one") == Claim(False)
    assert await claim("one") == Claim(False)
    found = await claim("another")
    assert not found.done
    assert 0 < found.held_seconds <= 7
    assert not await real.delete_if_equals("lease", "another")
    await real.settle("done", "an older digest", 9, "lease", "another")
    assert (await claim("another")).held_seconds
    assert await real.delete_if_equals("lease", "one")
    assert await claim("another") == Claim(False)
    await real.settle("done", "digest", 9, "lease", "another")
    assert await claim("one") == Claim(True)
    assert await real.set_if_not_exists("lease", "any"), "it was ended"


async def test_settling_is_one_round_trip(client, server):
    server.answer = lambda _: b":0\r\n"
    await client.settle("done", "digest", 9, "lease", "token")
    assert len(server.received) == 1


async def test_delete_key_counts(client, server):
    server.answer = lambda _: b":1\r\n"
    assert await client.delete_key("k") == 1


async def test_a_server_that_is_not_there_is_unavailable(metrics):
    client = RedisClient("redis://127.0.0.1:1/0", metrics, connect_timeout=5, command_timeout=5)
    with pytest.raises(RedisUnavailable):
        await client.start()
    await client.stop()


async def test_an_error_reply_is_unavailable_too(client, server):
    server.answer = lambda _: b"-LOADING the dataset\r\n"
    with pytest.raises(RedisUnavailable):
        await client.delete_key("k")
