"""A request that a dependency gets twice, while the service hears one reply."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext, suppress

import pytest

from harness.errors import FaultError
from harness.stack import Twice
from harness.taps.kafka import KafkaParser
from harness.taps.postgres import PostgresParser
from tests.unit.taps.kafka_frames import KEYS, made, reply, request
from tests.unit.taps.wired import GET, SET, commit, committed, kafka, redis, tapped, trigger

GOT = b"$1\r\nv\r\n"


def recording(serve, got):
    """The server ``serve``, which notes what it is sent."""

    class Reader:
        def __init__(self, reader):
            self._reader = reader

        async def read(self, size):
            data = await self._reader.read(size)
            got.extend(data)
            return data

        async def readexactly(self, size):
            data = await self._reader.readexactly(size)
            got.extend(data)
            return data

    return lambda reader, writer: serve(Reader(reader), writer)


@pytest.mark.parametrize("cut", [None, 26, -3])
async def test_a_command_is_executed_twice_and_the_second_reply_is_kept_from_the_service(cut) -> None:
    got, met = bytearray(), trigger()
    async with tapped(recording(redis, got), trigger=met) as (notes, connect, tap):
        reader, writer = await connect()
        data = GET + SET + GET
        where = len(data) if cut is None else len(GET) + (cut if cut > 0 else len(SET) + cut)
        writer.write(data[:where])
        held = await met.met()
        twice = asyncio.create_task(held.duplicate())
        await asyncio.sleep(0)
        writer.write(data[where:])
        assert await twice == Twice("OK")
        assert await reader.readexactly(len(GOT + b"+OK\r\n" + GOT)) == GOT + b"+OK\r\n" + GOT
        writer.write(SET)
        assert await reader.readexactly(5) == b"+OK\r\n", "the next reply is its own"
        assert not tap.plain
    assert bytes(got) == GET + SET + SET + GET + SET
    assert [phase for phase, _ in notes.records] == ["answered", "answered", "repeated", "answered", "answered"]


async def test_an_http_request_reaches_the_server_twice_and_what_it_says_in_between_is_kept_too() -> None:
    ask = b"%b / HTTP/1.1\r\nHost: h\r\n\r\n"

    async def serve(reader, writer):
        for number in range(1, 5):
            head = await reader.readuntil(b"\r\n\r\n")
            interim = b"HTTP/1.1 103 Early Hints\r\n\r\n" if number == 3 else b""
            body = b"" if head.startswith(b"HEAD") else b"%d" % number
            writer.write(interim + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + body)

    met = trigger(pattern="HEAD *")
    async with tapped(serve, "http", met) as (notes, connect, tap):
        reader, writer = await connect()
        writer.write(ask % b"GET" + ask % b"HEAD" + ask % b"GET")
        assert await (await met.met()).duplicate() == Twice("200")
        answers = await reader.readuntil(b"4")
        assert answers.count(b"HTTP/1.1 200 OK") == 3
        assert b"103" not in answers
        assert not tap.plain
    assert [phase for phase, _ in notes.records] == ["answered", "answered", "repeated", "answered"]


def batch(count):
    """A batch of records, of which only what stands around them is true."""
    body = b"\0" * 4 + b"\2" + b"\0" * 6 + (count - 1).to_bytes(4, "big") + b"\0" * 30
    return b"\0" * 8 + len(body).to_bytes(4, "big") + body


def produce(number, version=9, acks=-1):
    parts = [{"index": 0, "records": batch(2) + batch(1)}, {"index": 3, "records": batch(1)}]
    topics = [{"name": "essays", "partition_data": parts}]
    return request(made("request", "Produce", version, acks=acks, topic_data=topics), number)


def produced(number, base, version=9, error=0):
    parts = [{"index": 0, "base_offset": base}, {"index": 3, "base_offset": base + 100, "error_code": error}]
    responses = [{"name": "essays", "partition_responses": parts}]
    return reply(made("reply", "Produce", version, responses=responses), number)


async def broker(reader, writer, bases):
    """Answer each Produce with the next of ``bases``, and each other request with an empty reply."""
    with suppress(asyncio.IncompleteReadError):
        while True:
            data = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
            number, version = int.from_bytes(data[4:8], "big"), int.from_bytes(data[2:4], "big")
            is_produce = int.from_bytes(data[:2], "big") == KEYS["Produce"]
            writer.write(produced(number, bases.pop(0), version) if is_produce else committed(number))


@pytest.mark.parametrize("version", [8, 9, 12])
@pytest.mark.parametrize("again", [True, False])
async def test_it_is_known_where_the_records_of_a_second_produce_are(version, again) -> None:
    """To a broker that knows the producer's numbers the second one is no news: it appends nothing."""
    met = trigger(pattern="Produce essays")
    bases = [10, 20 if again else 10]
    serve = lambda reader, writer: broker(reader, writer, bases)  # noqa: E731 - a server
    async with tapped(serve, "kafka", met) as (notes, connect, tap):
        reader, writer = await connect()
        writer.write(commit(1) + produce(2, version) + commit(3))
        twice = await (await met.met()).duplicate()
        heard = committed(1) + produced(2, 10, version) + committed(3)
        assert await reader.readexactly(len(heard)) == heard
        assert not tap.plain
    places = [("essays", 0, 20), ("essays", 0, 21), ("essays", 0, 22), ("essays", 3, 120)]
    assert twice == Twice("ok", places if again else [])
    assert [phase for phase, _ in notes.records] == ["answered", "answered", "repeated", "answered"]


async def test_a_commit_of_offsets_reaches_the_broker_twice() -> None:
    got, met = bytearray(), trigger(pattern="OffsetCommit *")
    async with tapped(recording(kafka, got), "kafka", met) as (_, connect, tap):
        reader, writer = await connect()
        writer.write(commit(1))
        assert await (await met.met()).duplicate() == Twice("ok")
        writer.write(commit(2))
        assert await reader.readexactly(2 * len(committed())) == committed(1) + committed(2)
        assert not tap.plain
    assert bytes(got) == commit(1) * 2 + commit(2)


async def test_a_request_that_is_too_large_to_keep_passes_once(kept) -> None:
    big = b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n" % (3 << 20) + bytes(3 << 20) + b"\r\n"
    got, met = bytearray(), trigger(pattern="SET big")

    async def serve(reader, writer):
        while data := await reader.read(1 << 20):
            got.extend(data)
            if len(got) >= len(big):
                writer.write(b"+OK\r\n")

    async with tapped(serve, trigger=met) as (notes, connect, _):
        reader, writer = await connect()
        writer.write(big)
        assert await (await met.met()).duplicate() is None
        assert await reader.readexactly(5) == b"+OK\r\n"
    assert len(got) == len(big)
    assert [phase for phase, _ in notes.records] == ["answered"]


async def test_a_second_request_that_is_never_answered_is_said_to_be_none() -> None:
    async def serve(reader, writer):
        await reader.readexactly(2 * len(SET))
        writer.write(b"+OK\r\n")

    met = trigger()
    async with tapped(serve, trigger=met) as (notes, connect, _):
        reader, writer = await connect()
        writer.write(SET)
        twice = asyncio.create_task((await met.met()).duplicate())
        assert await reader.read() == b"+OK\r\n"
        writer.close()
        assert await twice is None
    assert notes.told() == [("answered", "SET", "claim"), ("repeated", "SET", "claim")]


async def test_a_tap_that_no_longer_understands_ends_the_connection_before_a_second_reply_passes() -> None:
    async def serve(reader, writer):
        await reader.readexactly(2 * len(SET))
        writer.write(b"+OK\r\nnonsense\r\n")
        await reader.read(1)

    met = trigger()
    async with tapped(serve, trigger=met) as (_, connect, tap):
        reader, writer = await connect()
        writer.write(SET)
        twice = asyncio.create_task((await met.met()).duplicate())
        heard = b""
        with suppress(ConnectionResetError):
            heard = await reader.read()
        assert heard in {b"", b"+OK\r\n"}
        assert await twice is None
        assert tap.plain


@pytest.mark.parametrize("pattern", ["MULTI", "SET *", "EXEC"])
async def test_within_a_transaction_a_second_command_would_change_the_replies_of_the_first(pattern) -> None:
    met = trigger(pattern=pattern)
    async with tapped(redis, trigger=met) as (_, connect, _tap):
        _, writer = await connect()
        writer.write(b"*1\r\n$5\r\nMULTI\r\n" + SET + b"*1\r\n$4\r\nEXEC\r\n")
        held = await met.met()
        with pytest.raises(FaultError, match="within MULTI and EXEC"):
            await held.duplicate()
        held.release()


async def test_behind_a_transaction_a_command_may_be_sent_twice() -> None:
    met = trigger(pattern="GET *")
    async with tapped(redis, trigger=met) as (_, connect, _tap):
        _, writer = await connect()
        writer.write(b"*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nEXEC\r\n" + GET)
        (await met.met())._repeatable()


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        (made("request", "JoinGroup", 5, group_id="billing", group_instance_id="billing-1"), True),
        (made("request", "InitProducerId", 3, transactional_id="billing-1"), True),
        (made("request", "InitProducerId", 3, transactional_id=None), False),
        (made("request", "Heartbeat", 3, group_id="billing"), False),
    ],
)
def test_what_would_revoke_what_the_first_answer_gives_is_not_sent_twice(said, refused) -> None:
    """The broker fences the first of two producers, or members, of one name, and the service hears of that one only."""
    parser = KafkaParser()
    (message,) = parser.requests.feed(request(said))
    with pytest.raises(FaultError, match="would revoke") if refused else nullcontext():
        parser.repeatable(message)


@pytest.mark.parametrize(
    ("protocol", "data", "pattern", "said"),
    [
        ("redis", b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n", "SUBSCRIBE *", "gets no reply that could be swallowed"),
        ("kafka", produce(1, acks=0), "Produce *", "gets no reply"),
        ("postgres", b"\0\0\0\x10\0\3\0\0user\0a\0\0", "StartupMessage", "the same transaction"),
    ],
)
async def test_what_cannot_be_sent_twice_is_refused(protocol, data, pattern, said) -> None:
    async def serve(reader, writer):
        await reader.read(1000)

    met = trigger(pattern=pattern)
    async with tapped(serve, protocol, met) as (_, connect, _tap):
        _, writer = await connect()
        writer.write(data)
        held = await met.met()
        with pytest.raises(FaultError, match=said):
            await held.duplicate()
        held.release()


def test_only_of_postgres_nothing_can_be_sent_twice() -> None:
    assert PostgresParser.single
    assert not KafkaParser.single
