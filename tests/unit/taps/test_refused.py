"""After an error that a tap gives, a dependency is where it would be after one of its own."""

from __future__ import annotations

import pytest

from harness.errors import FaultError
from tests.unit.taps.postgres_frames import (
    EXECUTE,
    START,
    STARTED,
    SYNC,
    Server,
    answer,
    bind,
    done,
    extended,
    parse,
    query,
)
from tests.unit.taps.test_flush import ask
from tests.unit.taps.wired import SET, redis, tapped, trigger

INSERT = "INSERT INTO inbox VALUES (1)"
FAILED = b"E"


async def begun(connect, *statements: str):
    """A connection with an open transaction."""
    end = await connect()
    await ask(end, START, STARTED)
    for statement in ("BEGIN", *statements):
        await ask(end, query(statement), answer(done(statement), status=b"T"))
    return end


@pytest.mark.parametrize("commit", [query("COMMIT"), extended("COMMIT")], ids=["simple", "extended"])
async def test_a_commit_that_fails_is_the_end_of_its_transaction(commit) -> None:
    """Many drivers send no ROLLBACK then; the next transaction must not go on in the old one."""
    server, met = Server(transacts=True), trigger(pattern="COMMIT inbox")
    async with tapped(server, "postgres", met) as (notes, connect, _):
        end = reader, writer = await begun(connect, INSERT)
        writer.write(commit)
        (await met.met()).refuse("40001")
        heard = await reader.readuntil(answer(status=b"I"))
        assert heard.startswith(FAILED)
        assert b"40001" in heard
        for statement in ("BEGIN", "INSERT INTO effects VALUES (1)"):
            await ask(end, query(statement), answer(done(statement), status=b"T"))
        await ask(end, query("COMMIT"), answer(done("COMMIT")))
    assert server.executed == ["BEGIN", INSERT, "ROLLBACK", "BEGIN", "INSERT INTO effects VALUES (1)", "COMMIT"]
    assert server.kept == ["INSERT INTO effects VALUES (1)"]
    assert notes.told()[1:] == [
        ("answered", "BEGIN", None),
        ("answered", "INSERT", "inbox"),
        ("refused", "COMMIT", "inbox"),
        ("answered", "BEGIN", None),
        ("answered", "INSERT", "effects"),
        ("answered", "COMMIT", "effects"),
    ]


async def test_a_statement_that_fails_fails_its_transaction() -> None:
    """Whoever commits all the same has committed nothing."""
    server, met = Server(transacts=True), trigger(pattern="INSERT effects")
    async with tapped(server, "postgres", met) as (_, connect, _tap):
        end = reader, writer = await begun(connect, INSERT)
        writer.write(query("INSERT INTO effects VALUES (1)"))
        (await met.met()).refuse("40P01")
        assert b"40P01" in await reader.readuntil(answer(status=b"E"))
        await ask(end, query("COMMIT"), answer(done("ROLLBACK")))
    assert server.kept == []


async def test_outside_of_a_transaction_nothing_was_begun() -> None:
    server, met = Server(transacts=True), trigger(pattern="INSERT inbox")
    async with tapped(server, "postgres", met) as (_, connect, _tap):
        end = reader, writer = await connect()
        await ask(end, START, STARTED)
        writer.write(query(INSERT))
        (await met.met()).refuse("40001")
        await reader.readuntil(answer())
        await ask(end, query("SELECT 1"), answer(done("SELECT")))
    assert server.executed == ["SELECT 1"]


async def test_behind_requests_without_a_reply_nobody_knows_of_a_transaction() -> None:
    server, met = Server(transacts=True), trigger(pattern="INSERT inbox")
    async with tapped(server, "postgres", met) as (_, connect, _tap):
        end = _, writer = await connect()
        await ask(end, START, STARTED)
        writer.write(parse("BEGIN") + bind() + EXECUTE + SYNC + extended(INSERT))
        held = await met.met()
        with pytest.raises(FaultError, match="whether a transaction is open"):
            held.refuse("40001")
        held.release()


@pytest.mark.parametrize("pattern", ["MULTI", "SET *", "EXEC"])
async def test_a_transaction_of_redis_is_not_torn(pattern) -> None:
    """Redis would execute nothing of it."""
    met = trigger(pattern=pattern)
    async with tapped(redis, trigger=met) as (_, connect, _tap):
        _, writer = await connect()
        writer.write(b"*1\r\n$5\r\nMULTI\r\n" + SET + b"*1\r\n$4\r\nEXEC\r\n")
        held = await met.met()
        with pytest.raises(FaultError, match="within MULTI"):
            held.refuse("OOM")
        held.release()
