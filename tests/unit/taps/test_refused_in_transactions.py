"""A request that a tap answers with an error leaves the dependency's transaction as the dependency's own error would."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from redis.asyncio import Redis
from redis.exceptions import ExecAbortError, OutOfMemoryError

from harness.errors import FaultError
from tests.unit.taps.postgres_frames import (
    EXECUTE,
    FLUSH,
    PREPARED,
    READY,
    START,
    STARTED,
    SYNC,
    Transactions,
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

INSERT = "INSERT INTO inbox VALUES (1)"
BEGUN = answer(done("BEGIN"), status=b"T")
INSERTED = answer(done(INSERT), status=b"T")
OK, QUEUED = b"+OK\r\n", b"+QUEUED\r\n"


def command(*words: str) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)


async def postgres(connect):
    reader, writer = await connect()
    writer.write(START)
    assert await reader.readexactly(len(STARTED)) == STARTED
    return reader, writer


async def ask(end, data, expected):
    end[1].write(data)
    assert await end[0].readexactly(len(expected)) == expected


async def refused(end, met, code=b"40001"):
    """What a client hears of the request that it has just sent: the whole reply behind its error."""
    (await met.met()).refuse(code.decode())
    heard = await end[0].readuntil(b"Z\0\0\0\5") + await end[0].readexactly(1)
    assert heard.startswith(b"E")
    assert b"C" + code + b"\0" in heard
    return heard[-1:]


@pytest.mark.parametrize("commit", [query("COMMIT"), extended("COMMIT"), query("END")])
async def test_a_refused_commit_has_rolled_back(commit) -> None:
    server, met = Transactions(), trigger(pattern="*")
    met.early = True
    async with tapped(server, "postgres", met) as (notes, connect, tap):
        end = await postgres(connect)
        await ask(end, query("BEGIN"), BEGUN)
        await ask(end, query(INSERT), INSERTED)
        met.early = False
        end[1].write(commit)
        assert await refused(end, met) == b"I"
        await ask(end, query(INSERT), answer(done(INSERT)))
        assert not tap.plain
    assert server.committed == [INSERT], "only the second, outside of any transaction"
    assert [phase for phase, _ in notes.records[1:]] == ["answered", "answered", "refused", "answered"]
    assert "COMMIT" not in server.executed


async def test_a_client_of_postgres_runs_a_refused_transaction_again() -> None:
    server, met = Transactions(), trigger(pattern="COMMIT inbox")
    async with tapped(server, "postgres", met) as (_, _connect, tap):
        port = int(tap._listen.rpartition(":")[2])

        def work():
            address = f"host=127.0.0.1 port={port} user=u dbname=d sslmode=disable gssencmode=disable"
            with psycopg.connect(address) as connection:
                for _ in range(2):
                    try:
                        connection.execute(INSERT)
                        connection.commit()
                    except psycopg.errors.SerializationFailure:
                        connection.rollback()

        working = asyncio.create_task(asyncio.to_thread(work))
        (await met.met()).refuse("40001")
        await working
    assert server.committed == [INSERT]


async def test_a_statement_that_is_refused_fails_its_transaction() -> None:
    """A service that commits all the same gets a rollback from Postgres, and so from behind a tap."""
    server, met = Transactions(), trigger(pattern="INSERT *", nth=2)
    async with tapped(server, "postgres", met) as (_, connect, _tap):
        end = await postgres(connect)
        await ask(end, query("BEGIN") + query(INSERT), BEGUN + INSERTED)
        end[1].write(extended(INSERT))
        assert await refused(end, met, b"40P01") == b"E"
        await ask(end, query("COMMIT"), answer(frame("C", b"ROLLBACK 1\0")))
    assert server.committed == []


async def test_a_statement_outside_of_a_transaction_is_refused() -> None:
    server, met = Transactions(), trigger(pattern="INSERT *")
    async with tapped(server, "postgres", met) as (_, connect, _tap):
        end = await postgres(connect)
        end[1].write(extended(INSERT))
        assert await refused(end, met) == b"I"
    assert server.executed == []


async def test_the_server_tells_whether_a_transaction_is_open_that_it_has_not_answered_yet() -> None:
    server, met = Transactions(), trigger(pattern="INSERT *")
    async with tapped(server, "postgres", met) as (notes, connect, _tap):
        end = await postgres(connect)
        end[1].write(query("BEGIN") + query(INSERT) + query("COMMIT"))
        (await met.met()).refuse("40001")
        heard = await end[0].readuntil(b"ROLLBACK 1\0" + READY)
        assert heard.startswith(BEGUN + b"E")
        assert heard.count(b"Z\0\0\0\5E") == 1
    assert server.committed == []
    assert [phase for phase, _ in notes.records[1:]] == ["answered", "refused", "answered"]


async def test_a_statement_is_refused_when_it_is_prepared() -> None:
    """As asyncpg sends it: it waits for the answer to a Flush, and ends with a Sync what failed."""
    server, met = Transactions(), trigger(pattern="INSERT *")
    async with tapped(server, "postgres", met) as (_, connect, _tap):
        end = await postgres(connect)
        await ask(end, query("BEGIN"), BEGUN)
        end[1].write(parse(INSERT, b"s") + describe(b"s") + FLUSH)
        assert await refused(end, met) == b"E"
        await ask(end, SYNC + query("ROLLBACK"), answer(done("ROLLBACK")))
        await ask(end, parse(INSERT, b"s") + describe(b"s") + FLUSH, PREPARED)
        await ask(end, bind(b"s") + EXECUTE + SYNC, frame("2") + answer(done(INSERT)))
    assert server.committed == [INSERT]


async def test_a_server_that_answers_byte_by_byte_is_swallowed_whole() -> None:
    async def serve(reader, writer):
        await reader.readexactly(len(START))
        writer.write(STARTED)
        while data := await reader.read(100):
            assert data == query("ROLLBACK")
            for byte in answer(frame("C", b"ROLLBACK\0")):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.001)

    met = trigger(pattern="COMMIT")
    async with tapped(serve, "postgres", met) as (_, connect, tap):
        end = await postgres(connect)
        end[1].write(query("COMMIT"))
        held = await met.met()
        tap.triggers = ()
        held.refuse("40001")
        assert (await end[0].readuntil(READY)).startswith(b"E\0\0")


async def test_no_statement_is_sent_before_a_connection_has_started() -> None:
    async def serve(reader, _writer):
        assert await reader.read() == b""

    met = trigger(pattern="StartupMessage")
    async with tapped(serve, "postgres", met) as (_, connect, _tap):
        end = await connect()
        end[1].write(START)
        assert await refused(end, met) == b"I"


class Store:
    """A Redis of two kinds of commands: SET, and INCR of a total."""

    def __init__(self):
        self.held = {}

    async def __call__(self, reader, writer):
        queue, opened, broken = [], False, False
        while line := await reader.readline():
            words = []
            for _ in range(int(line[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2].decode())
            match words[0]:
                case "MULTI":
                    queue, opened, broken = [], True, False
                    writer.write(OK)
                case "EXEC" if broken:
                    opened = False
                    writer.write(b"-EXECABORT Transaction discarded because of previous errors.\r\n")
                case "EXEC":
                    writer.write(b"*%d\r\n" % len(queue) + b"".join(map(self._run, queue)))
                    opened = False
                case "DISCARD":
                    opened = False
                    writer.write(OK)
                case "SET" | "INCRBY" | "GET" if opened:
                    queue.append(words)
                    writer.write(QUEUED)
                case "SET" | "INCRBY" | "GET":
                    writer.write(self._run(words))
                case "CLIENT":
                    writer.write(OK)
                case _:
                    broken = True
                    writer.write(b"-ERR unknown command\r\n")

    def _run(self, words):
        self.held[words[1]] = self.held.get(words[1], 0) + 1 if words[0] == "INCRBY" else words[-1]
        return b":1\r\n" if words[0] == "INCRBY" else OK


@pytest.mark.parametrize(
    ("pattern", "error"), [("SET *", OutOfMemoryError), ("INCRBY *", OutOfMemoryError), ("EXEC", ExecAbortError)]
)
async def test_a_refused_command_of_a_transaction_leaves_nothing_of_it(pattern, error) -> None:
    store, met = Store(), trigger(pattern=pattern)
    async with tapped(store, trigger=met) as (notes, _connect, tap):
        port = int(tap._listen.rpartition(":")[2])
        async with Redis(port=port, protocol=2) as client:

            async def work():
                async with client.pipeline(transaction=True) as pipe:
                    pipe.set("done:1", "1")
                    pipe.incr("total")
                    return await pipe.execute()

            working = asyncio.create_task(work())
            (await met.met()).refuse("OOM")
            with pytest.raises(error, match="used memory"):
                await working
            assert store.held == {}
            await work()
            assert store.held == {"done:1": "1", "total": 1}
            assert not tap.plain
    assert [phase for phase, fields in notes.records if fields["command"] == pattern.split()[0]] == [
        "refused",
        "answered",
    ]


@pytest.mark.parametrize("word", ["MULTI", "DISCARD", "RESET"])
async def test_what_redis_always_executes_cannot_be_refused(word) -> None:
    met = trigger(pattern=word)
    async with tapped(Store(), trigger=met) as (_, connect, _tap):
        _, writer = await connect()
        writer.write(command(word))
        held = await met.met()
        with pytest.raises(FaultError, match=f"{word}: Redis never answers it with LOADING"):
            held.refuse("LOADING")
        held.release()


@pytest.mark.parametrize(
    ("protocol", "data", "pattern", "error"),
    [
        ("postgres", START + frame("p", b"secret\0"), "password", "40001"),
        ("redis", command("CLIENT", "REPLY", "OFF") + command("SET", "k", "v"), "SET *", "OOM"),
    ],
)
async def test_what_waits_for_no_reply_cannot_be_refused(protocol, data, pattern, error) -> None:
    async def silent(reader, _writer):
        await reader.read()

    met = trigger(pattern=pattern)
    async with tapped(silent, protocol, met) as (_, connect, _tap):
        _, writer = await connect()
        writer.write(data)
        held = await met.met()
        with pytest.raises(FaultError, match="waits for no reply"):
            held.refuse(error)
        held.release()
