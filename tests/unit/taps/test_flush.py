"""Clients of Postgres that wait for the answer to a Flush, as asyncpg does, while triggers are armed."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.taps.postgres_frames import (
    BOUND,
    EXECUTE,
    FLUSH,
    PREPARED,
    READY,
    START,
    STARTED,
    SYNC,
    Server,
    answer,
    bind,
    describe,
    done,
    extended,
    frame,
    parse,
    query,
)
from tests.unit.taps.wired import tapped, trigger

INSERT = "INSERT INTO inbox VALUES ($1)"
PREPARE = parse(INSERT, b"s") + describe(b"s") + FLUSH
RUN = bind(b"s") + EXECUTE + SYNC
DONE = done(INSERT) + READY


async def ask(end, data, expected):
    reader, writer = end
    writer.write(data)
    assert await reader.readexactly(len(expected)) == expected


async def silent(reader):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.2)


async def test_what_a_flush_asks_for_comes_while_a_trigger_waits_for_something_else() -> None:
    server = Server()
    async with tapped(server, "postgres", trigger(pattern="NEVER *")) as (notes, connect, tap):
        end = await connect()
        await ask(end, START, STARTED)
        await ask(end, PREPARE, PREPARED)
        await ask(end, RUN, BOUND + DONE)
        await ask(end, describe(b"s") + FLUSH, PREPARED[5:])
        await ask(end, RUN, BOUND + DONE)
        await ask(end, frame("C", b"Ss\0") + FLUSH, frame("3"))
        await ask(end, query("BEGIN"), done("BEGIN") + READY)
        assert not tap.plain
    assert notes.told()[1:] == [
        ("answered", "INSERT", "inbox"),
        ("answered", "INSERT", "inbox"),
        ("answered", "BEGIN", None),
    ]


@pytest.mark.parametrize("flushed", [True, False])
async def test_the_outcome_of_a_statement_is_held_and_what_precedes_it_is_not(flushed) -> None:
    """However the server's bytes are split: those before the outcome have gone when the fault acts."""
    server, met = Server(), trigger("reply", "INSERT inbox")
    async with tapped(server, "postgres", met) as (_, connect, _tap):
        end = reader, writer = await connect()
        await ask(end, START, STARTED)
        if flushed:
            await ask(end, PREPARE, PREPARED)
            writer.write(RUN)
            before = BOUND
        else:
            writer.write(extended(INSERT))
            before = frame("1") + BOUND + frame("n")
        held = await met.met()
        assert server.executed == [INSERT], "it has been executed"
        assert await reader.readexactly(len(before)) == before
        await silent(reader)
        held.release()
        assert await reader.readexactly(len(DONE)) == DONE


async def running(connect):
    """A connection on which a statement was prepared, as asyncpg does it, and asked to be executed."""
    end = _, writer = await connect()
    await ask(end, START, STARTED)
    await ask(end, PREPARE, PREPARED)
    writer.write(RUN)
    return end


@pytest.mark.parametrize("close", [True, False])
async def test_an_outcome_is_lost(close) -> None:
    server, met = Server(), trigger("reply", "INSERT inbox")
    async with tapped(server, "postgres", met) as (notes, connect, _):
        reader, _ = await running(connect)
        (await met.met()).lose(close=close)
        if close:
            assert await reader.read() == BOUND
        else:
            assert await reader.readexactly(len(BOUND)) == BOUND
            await silent(reader)
    assert server.executed == [INSERT]
    assert notes.told()[1:] == [("lost_reply", "INSERT", "inbox")]


async def test_an_error_takes_the_place_of_an_outcome() -> None:
    server, met = Server(), trigger("reply", "INSERT inbox")
    async with tapped(server, "postgres", met) as (notes, connect, _):
        end = reader, _ = await running(connect)
        (await met.met()).refuse("40001")
        heard = await reader.readuntil(READY)
        assert heard.startswith(BOUND + b"E")
        assert b"40001" in heard
        await ask(end, query("ROLLBACK"), answer(done("ROLLBACK")))
    assert notes.told()[1:] == [("refused_reply", "INSERT", "inbox"), ("answered", "ROLLBACK", None)]


@pytest.mark.parametrize(("after", "passes"), [(0, len(PREPARED + BOUND)), (len(PREPARED + BOUND) + 3,) * 2])
async def test_an_outcome_is_cut(after, passes) -> None:
    met = trigger("reply", "INSERT inbox")
    async with tapped(Server(), "postgres", met) as (notes, connect, _):
        await running(connect)
        assert await (await met.met()).cut(after) == passes
    assert notes.told()[1:] == [("cut_reply", "INSERT", "inbox")]


async def test_a_request_is_held_before_it_is_prepared() -> None:
    server, met = Server(), trigger("request", "INSERT inbox")
    async with tapped(server, "postgres", met) as (_, connect, _tap):
        end = reader, writer = await connect()
        await ask(end, START, STARTED)
        writer.write(PREPARE)
        held = await met.met()
        await silent(reader)
        held.release()
        assert await reader.readexactly(len(PREPARED)) == PREPARED
        assert server.executed == []
        await ask(end, RUN, BOUND + DONE)


async def test_a_copy_is_held_when_its_data_have_been_taken() -> None:
    server, met = Server(), trigger("reply", "COPY a")
    ready, copied = frame("G", bytes(3)), frame("C", b"COPY 1\0") + READY
    async with tapped(server, "postgres", met) as (_, connect, _tap):
        end = reader, writer = await connect()
        await ask(end, START, STARTED)
        await ask(end, query("COPY a FROM STDIN"), ready)
        writer.write(frame("d", b"row\n") + frame("c"))
        held = await met.met()
        await silent(reader)
        held.release()
        assert await reader.readexactly(len(copied)) == copied
