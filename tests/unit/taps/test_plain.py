"""What becomes of a fault under way on one connection when another makes its tap a plain pipe."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tests.unit.taps.wired import GET, SET, tapped, trigger

GOT = b"$1\r\nv\r\n"


async def make_plain(connect, tap):
    _, writer = await connect()
    writer.write(b"*x\r\n")
    while not tap.plain:
        await asyncio.sleep(0.01)


async def ended(reader):
    with suppress(ConnectionResetError):
        while await reader.read(100):
            pass


@pytest.mark.parametrize("close", [True, False])
async def test_a_connection_whose_request_was_lost_ends_though_its_replies_are_no_longer_told_apart(close) -> None:
    go_on = asyncio.Event()

    async def serve(reader, writer):
        await reader.readexactly(len(GET))
        await go_on.wait()
        writer.write(GOT)
        await reader.read()

    met = trigger()
    async with tapped(serve, trigger=met) as (_, connect, tap):
        reader, writer = await connect()
        writer.write(GET + SET)
        (await met.met()).lose(close=close)
        await make_plain(connect, tap)
        go_on.set()
        await ended(reader)


@pytest.mark.parametrize("whole", [True, False])
async def test_a_refused_request_swallows_none_behind_it(whole) -> None:
    got = bytearray()

    async def serve(reader, writer):
        while data := await reader.read(100):
            got.extend(data)

    met = trigger()
    async with tapped(serve, trigger=met) as (_, connect, tap):
        reader, writer = await connect()
        writer.write(GET + (SET if whole else SET[:-4]))
        (await met.met()).refuse("OOM")
        await make_plain(connect, tap)
        writer.write((b"" if whole else SET[-4:]) + GET)
        await ended(reader)
    assert bytes(got).startswith(GET)
    assert SET[-4:] not in bytes(got), "no part of it has reached the dependency"


async def refused(connect, met):
    """A connection that has heard an error of the tap's."""
    reader, writer = await connect()
    writer.write(SET)
    (await met.met()).refuse("OOM")
    assert (await reader.readline()).startswith(b"-OOM ")
    return reader, writer


async def test_a_refused_reply_swallows_none_behind_it() -> None:
    go_on = asyncio.Event()

    async def serve(reader, writer):
        await reader.readexactly(len(SET))
        writer.write(b"$5\r\n")
        await go_on.wait()
        writer.write(b"value\r\n" + GOT)
        await reader.read()

    met = trigger("reply")
    async with tapped(serve, trigger=met) as (_, connect, tap):
        reader, writer = await refused(connect, met)
        await make_plain(connect, tap)
        writer.write(GET)
        go_on.set()
        await ended(reader)


async def test_a_connection_on_which_nothing_is_under_way_goes_on() -> None:
    async def serve(reader, writer):
        while await reader.read(100):
            writer.write(GOT)

    met = trigger()
    async with tapped(serve, trigger=met) as (_, connect, tap):
        reader, writer = await refused(connect, met)
        await make_plain(connect, tap)
        for _ in range(2):
            writer.write(GET)
            assert await reader.readexactly(len(GOT)) == GOT


async def test_a_reply_to_what_the_tap_sent_itself_is_never_heard() -> None:
    go_on = asyncio.Event()
    multi = b"*1\r\n$5\r\nMULTI\r\n"

    async def serve(reader, writer):
        await reader.readexactly(len(multi))
        writer.write(b"+OK\r\n")
        await reader.readuntil(b"ONEFFECT\r\n")
        await go_on.wait()
        writer.write(b"-ERR unknown command\r\n")
        await reader.read()

    met = trigger()
    async with tapped(serve, trigger=met) as (_, connect, tap):
        reader, writer = await connect()
        writer.write(multi + SET)
        (await met.met()).refuse("OOM")
        assert await reader.readline() == b"+OK\r\n"
        await make_plain(connect, tap)
        go_on.set()
        heard = b""
        with suppress(ConnectionResetError):
            heard = await reader.read()
        assert heard == b""
