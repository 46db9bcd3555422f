"""The harness's own probes pass a tap: no fault acts at them, and the history has none of them."""

from __future__ import annotations

import asyncio
import struct
from functools import partial

import pytest

from harness.clients.login import Login
from harness.clients.probes import Prober
from harness.taps.probes import is_probe
from tests.unit.taps.wired import GET, redis, tapped, trigger


async def store(reader, writer, *, password: bytes | None = None):
    """Answer each PING with its word, once it was given its password."""
    while line := await reader.readline():
        words = []
        for _ in range(int(line[1:])):
            size = int((await reader.readline())[1:])
            words.append((await reader.readexactly(size + 2))[:-2])
        if words[0] == b"AUTH":
            password = None if words[1] == password else password
            writer.write(b"+OK\r\n" if password is None else b"-WRONGPASS\r\n")
        elif password is not None:
            writer.write(b"-NOAUTH Authentication required.\r\n")
        else:
            writer.write(b"$%d\r\n%b\r\n" % (len(words[1]), words[1]))


async def broker(reader, writer):
    """Answer each ApiVersions with no versions."""
    while True:
        request = await reader.readexactly(int.from_bytes(await reader.readexactly(4)))
        body = request[4:8] + struct.pack(">hi", 0, 0)
        writer.write(struct.pack(">i", len(body)) + body)


async def database(reader, writer):
    """Let everybody in, and answer each query with nothing."""
    await reader.readexactly(int.from_bytes(await reader.readexactly(4)) - 4)
    ready = b"Z\0\0\0\5I"
    writer.write(b"R\0\0\0\x08\0\0\0\0" + ready)
    while kind := await reader.read(1):
        await reader.readexactly(int.from_bytes(await reader.readexactly(4)) - 4)
        writer.write(b"I\0\0\0\4" + ready if kind == b"Q" else b"")


async def service(reader, writer):
    """Answer each request with 200."""
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.mark.parametrize("size", [0, 100])
@pytest.mark.parametrize(
    ("protocol", "serve", "how"),
    [
        ("redis", store, {}),
        ("redis", partial(store, password=b"secret"), {"login": Login("secret")}),
        ("redis", store, {"login": Login("secret")}),
        ("kafka", broker, {}),
        ("postgres", database, {}),
        ("http", service, {"path": "/healthz"}),
    ],
)
async def test_no_fault_acts_at_a_probe_and_none_is_recorded(protocol: str, serve, how, size: int) -> None:
    every = trigger(pattern="*", every=1)
    async with tapped(serve, protocol, every) as (notes, _, tap):
        probe = asyncio.create_task(Prober(tap._listen, protocol, **how).probe(20, size))
        held = asyncio.create_task(every.met())
        await asyncio.wait([probe, held], return_when=asyncio.FIRST_COMPLETED)
        assert not held.done(), held.result().what
        held.cancel()
        assert (await probe).answered, probe.result().error
        assert every.counted == 0
        # The connection's end is noted after the probe's.
        while tap._connections:
            await asyncio.sleep(0.01)
        assert not notes.records


async def test_what_comes_from_anybody_else_is_held() -> None:
    every = trigger(pattern="*")
    async with tapped(redis, "redis", every) as (notes, connect, _):
        reader, writer = await connect()
        writer.write(GET)
        held = await every.met()
        assert held.what == "GET k"
        held.release()
        assert await reader.readexactly(7) == b"$1\r\nv\r\n"
    assert notes.told() == [("answered", "GET", "k")]


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"*1\r\n$4\r\nPING\r\n",
        b"*2\r\n$4\r\nPING\r\n$5\r\nhello\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nUser-Agent: oneffect-shop\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nUser-Agent: oneffect\r\n\r\n",
        b"\0\0\0\x0a\0\x12\0\0\0\0\0\1\xff\xff",
        b"\0\0\0\x29\0\3\0\0user\0oneffect\0database\0r1_billing\0\0",
    ],
)
def test_what_a_service_sends_is_no_probe(beginning: bytes) -> None:
    assert not is_probe(beginning)
