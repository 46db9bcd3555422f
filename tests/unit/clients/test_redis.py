"""The harness's client of Redis over a server of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress

import pytest

from harness.clients.exchange import exchange
from harness.clients.redis import RedisClient
from harness.errors import StackError

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    """The address of a server."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):  # it is hung up on
                await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1")
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_monitor_goes_on_after_a_long_value_and_after_an_end() -> None:
    """asyncio reads no line that is longer than 64 KiB."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"MONITOR\r\n"
        writer.write(b'+OK\r\n1.1 [0 a:1] "SET" "long" "%s"\r\n' % (b"x" * 70_000))
        writer.write(b'1.2 [0 a:1] "EVAL" "return 1" "1" "of-script" "v"\r\n1.3 [0 a:1] "PING"\r\n')
        await writer.drain()

    async with serving(serve) as address:
        client = RedisClient(address)
        seen = []
        async with asyncio.timeout(20), aclosing(client.monitor()) as told:  # type: ignore[type-var]
            async for _, command, key in told:
                seen.append((command, key))
                if len(seen) == 6:
                    break
        await client.close()
    assert seen == [("SET", "long"), ("EVAL", "of-script"), ("PING", "")] * 2


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'"SET" "key" "value" "NX" "EX" "30"', ("SET NX", "key")),
        (b'"set" "key" "value" "px" "5" "get" "nx"', ("set NX", "key")),
        (b'"SET" "key" "NX" "XX" "KEEPTTL"', ("SET XX", "key")),
        (b'"SET" "key" "NX"', ("SET", "key")),
        (b'"SET" "key" "value" "IFEQ" "NX"', ("SET IFEQ", "key")),
        (b'"EXPIRE" "key" "30" "GT"', ("EXPIRE GT", "key")),
        (b'"SETNX" "key" "NX"', ("SETNX", "key")),
        (b'"DEL" "key" "NX" "XX" "NX"', ("DEL", "key")),
        (b'"SET"', ("SET", "")),
    ],
)
async def test_monitor_tells_the_condition_of_a_command(line: bytes, told: tuple[str, str]) -> None:
    """Whether a claim was asked for or taken is in it: a SET without one always succeeds."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"MONITOR\r\n"
        writer.write(b"1.1 [0 a:1] " + line + b"\r\n")
        await writer.drain()

    async with serving(serve) as address:
        client = RedisClient(address)
        async with asyncio.timeout(20), aclosing(client.monitor()) as commands:  # type: ignore[type-var]
            _, command, key = await anext(commands)
        await client.close()
    assert (command, key) == told


async def test_headers_that_do_not_end_are_no_answer() -> None:
    """asyncio's error of it is neither an OSError nor a ValueError, which is all that callers wait for."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000)
        await reader.read()

    async with serving(serve) as address:
        with pytest.raises(ConnectionError, match="headers do not end"):
            await exchange(address, "GET", "/", timeout=20)


async def test_one_node_of_a_cluster_is_not_read_for_the_whole() -> None:
    info = b"redis_mode:cluster\r\nrun_id:1\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.upper().startswith(b"INFO"):
                writer.write(b"$%d\r\n%s\r\n" % (len(info), info))
            elif line.upper().startswith((b"CLIENT", b"HELLO", b"SELECT")):
                writer.write(b"+OK\r\n")
            elif line.upper().startswith(b"SCAN"):
                writer.write(b"*2\r\n$1\r\n0\r\n*0\r\n")
            await writer.drain()

    async with serving(serve) as address:
        client = RedisClient(address)
        async with asyncio.timeout(20):
            with pytest.raises(StackError, match="is a node of a cluster, and has only some of its keys"):
                await client.contents(b"*")
        await client.close()
