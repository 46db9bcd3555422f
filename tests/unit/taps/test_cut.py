"""A connection that breaks off in the middle of a message."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tests.unit.taps.wired import GET, SET, redis, tapped, trigger

OK, VALUE = b"+OK\r\n", b"$1\r\nv\r\n"


class Heard(asyncio.Protocol):
    """One end of a connection: what it got, and how it ended. A stream forgets what it has not read when it is reset."""

    def __init__(self):
        self.got, self.ended = b"", asyncio.get_running_loop().create_future()

    def data_received(self, data):
        self.got += data

    def connection_lost(self, exc):
        self.ended.set_result(exc)


async def connect(tap):
    host, _, port = tap._listen.rpartition(":")
    transport, heard = await asyncio.get_running_loop().create_connection(Heard, host, int(port))
    return transport, heard


async def listening(tap):
    """Put a server that answers nothing behind a tap; its first connection."""
    heard = []

    def accept():
        heard.append(Heard())
        return heard[-1]

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    tap._upstream = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    return server, heard


@pytest.mark.parametrize(("after", "passes"), [(0, 0), (1, 1), (20, 20), (len(SET), len(SET)), (10_000, len(SET))])
@pytest.mark.parametrize("more", [b"", GET])
async def test_so_much_of_a_request_reaches_the_dependency_and_then_both_ends_are_reset(after, passes, more) -> None:
    met = trigger()
    async with tapped(redis, trigger=met) as (notes, _, tap):
        server, dependency = await listening(tap)
        transport, service = await connect(tap)
        transport.write(GET + SET + more)
        assert await (await met.met()).cut(after) == passes
        assert isinstance(await service.ended, ConnectionResetError)
        assert isinstance(await dependency[0].ended, ConnectionResetError)
        assert dependency[0].got == (GET + SET)[: len(GET) + passes]
        server.close()
    assert notes.told() == [("cut_request", "SET", "claim"), ("unanswered", "GET", "k")]


@pytest.mark.parametrize(("after", "passes"), [(0, 0), (3, 3), (100, len(OK))])
async def test_so_much_of_a_reply_reaches_the_service(after, passes) -> None:
    met = trigger("reply")
    async with tapped(redis, trigger=met) as (notes, _, tap):
        transport, service = await connect(tap)
        transport.write(GET + SET + GET)
        assert await (await met.met()).cut(after) == passes
        assert isinstance(await service.ended, ConnectionResetError)
        assert service.got == VALUE + OK[:passes]
    assert notes.told()[:2] == [("answered", "GET", "k"), ("cut_reply", "SET", "claim")]


async def test_a_message_that_comes_in_parts_is_cut_in_the_part_where_it_is_due() -> None:
    met = trigger()
    async with tapped(redis, trigger=met) as (_, _connect, tap):
        server, dependency = await listening(tap)
        transport, service = await connect(tap)
        transport.write(SET[:-4])
        cut = asyncio.create_task((await met.met()).cut(len(SET) - 2))
        while not dependency or dependency[0].got != SET[:-4]:
            await asyncio.sleep(0.01)
        assert not cut.done()
        transport.write(SET[-4:])
        assert await cut == len(SET) - 2
        assert isinstance(await service.ended, ConnectionResetError)
        assert dependency[0].got == SET[:-2]
        server.close()


async def test_a_large_message_is_cut_in_its_midst_and_never_held(kept) -> None:
    size, after = 64 << 20, 48 << 20
    head = b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n" % size
    met, got = trigger(pattern="SET big"), 0
    lost = asyncio.Event()

    async def serve(reader, writer):
        nonlocal got
        with suppress(ConnectionResetError):
            while data := await reader.read(1 << 20):
                got += len(data)
        lost.set()

    async with tapped(serve, trigger=met) as (_, connect, _tap):
        _, writer = await connect()
        writer.write(head)
        cut = asyncio.create_task((await met.met()).cut(after))
        with suppress(OSError):
            while True:
                writer.write(bytes(1 << 20))
                await writer.drain()
        assert await cut == after
        await lost.wait()
    assert after - (1 << 20) < got <= after
    assert max(kept) < 1 << 20


async def test_a_connection_that_ends_before_is_not_cut() -> None:
    met = trigger()
    async with tapped(redis, trigger=met) as (notes, connect, _):
        _, writer = await connect()
        writer.write(SET[:-4])
        cut = asyncio.create_task((await met.met()).cut(10_000))
        writer.close()
        assert await cut is None
    assert notes.told() == [("unanswered", "SET", "claim")]


async def test_two_faults_at_one_message_do_not_both_say_that_they_acted() -> None:
    one, other = trigger(), trigger()
    async with tapped(redis, trigger=one) as (_, connect, tap):
        tap.triggers = (one, other)
        _, writer = await connect()
        writer.write(SET)
        cut = asyncio.create_task((await one.met()).cut(3))
        (await other.met()).lose(close=True)
        assert await cut is None
