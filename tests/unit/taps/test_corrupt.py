"""One record of a Produce whose value is another when the broker gets it, with a checksum that is right."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from harness.errors import FaultError
from harness.stack import Record
from tests.unit.taps.kafka_frames import made, request
from tests.unit.taps.test_again import broker, produced, recording
from tests.unit.taps.wired import SET, commit, committed, redis, tapped, trigger

RECORDS = [
    (b"k1", None, []),
    (b"k2", b'{"id": "e-2"}', [("trace", b"\0\xff"), ("none", b"")]),
    (None, b'{"id": "e-3"}', []),
]


def batch(records=RECORDS, *, compression=0, transactional=False) -> bytes:
    """Records as aiokafka writes them."""
    builder = DefaultRecordBatchBuilder(2, compression, transactional, 77, 1, 5, 1 << 22)
    for number, (key, value, headers) in enumerate(records):
        assert builder.append(number, 1_700_000_000_000 + number, key, value, headers)
    return bytes(builder.build())


def produce(number, version, batches, *, acks=-1) -> bytes:
    topics = [
        {"name": name, "partition_data": [{"index": partition, "records": data}]} for name, partition, data in batches
    ]
    return request(made("request", "Produce", version, acks=acks, topic_data=topics), number)


def read(data: bytes):
    whole = DefaultRecordBatch(data)
    return whole.validate_crc(), [(one.key, one.value, list(one.headers)) for one in whole]


def scrawl(value: bytes) -> bytes:
    return b"\xff" * len(value)


async def corrupted(sent: bytes, base, *, version=9, topics=("essays",), pieces=1):
    """Send it in pieces; return what the broker got, what the service heard, and what became of it."""
    got, met = bytearray(), trigger(pattern="Produce *")
    serve = lambda reader, writer: broker(reader, writer, [base])  # noqa: E731 - a server
    async with tapped(recording(serve, got), "kafka", met) as (_, connect, tap):
        reader, writer = await connect()
        data = commit(1) + sent + commit(3)
        first = len(data) // pieces
        writer.write(data[:first])
        doing = asyncio.create_task((await met.met()).corrupt(topics, scrawl))
        await asyncio.sleep(0)
        writer.write(data[first:])
        try:
            found = await doing
        except FaultError as error:
            found = str(error)
        heard = committed(1) + produced(2, base, version) + committed(3)
        assert await reader.readexactly(len(heard)) == heard, "the service hears what the broker says"
        assert not tap.plain
    return bytes(got[len(commit(1)) : -len(commit(3))]), found


@pytest.mark.parametrize("version", [8, 9, 12])
@pytest.mark.parametrize("pieces", [1, 2])
async def test_the_first_value_on_a_topic_of_events_is_another_and_its_place_is_known(version, pieces) -> None:
    sent = produce(2, version, [("letters", 1, batch()), ("essays", 0, batch())])
    got, record = await corrupted(sent, 10, version=version, pieces=pieces)
    assert record == Record("essays", 0, 11, b"k2", b'{"id": "e-2"}', (("trace", b"\0\xff"), ("none", b"")))
    assert len(got) == len(sent)
    begin = sent.rindex(batch())
    assert got[:begin] == sent[:begin]
    assert got[begin + len(batch()) :] == sent[begin + len(batch()) :]
    changed = [(key, scrawl(value or b"") if key == b"k2" else value, headers) for key, value, headers in RECORDS]
    assert read(got[begin : begin + len(batch())]) == (True, changed)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (batch(compression=1), "its records are compressed"),
        (batch(transactional=True), "in a transaction"),
        (batch([(b"k", None, [])]), "no record with a value on a topic of events"),
        (batch()[:16] + b"\1" + batch()[17:], "from before Kafka 0.11"),
    ],
    ids=["compressed", "transactional", "tombstones", "old"],
)
async def test_what_cannot_be_altered_passes_as_it_is(data, said) -> None:
    sent = produce(2, 9, [("essays", 0, data)])
    got, found = await corrupted(sent, 10)
    assert got == sent
    assert said in str(found)


async def test_no_record_of_another_topic_is_altered() -> None:
    sent = produce(2, 9, [("essays", 0, batch())])
    got, found = await corrupted(sent, 10, topics=("others",))
    assert got == sent
    assert "name one in the `when`" in str(found)


async def test_one_that_is_too_large_to_keep_passes_as_it_is() -> None:
    sent = produce(2, 9, [("essays", 0, batch([(b"k", bytes(3 << 18), []), (b"l", bytes(3 << 17), [])]))])
    assert len(sent) > 1 << 20
    got, found = await corrupted(sent, 10, pieces=2)
    assert got == sent
    assert "passed as it was" in str(found)


async def test_of_one_that_the_broker_refused_nobody_can_say_where_it_is() -> None:
    got, found = await corrupted(produce(2, 9, [("essays", 3, batch())]), -101)
    assert found is None
    assert scrawl(b'{"id": "e-2"}') in got


async def test_of_one_that_was_never_answered_nobody_knows() -> None:
    async def serve(reader, writer):
        await reader.read(1 << 16)

    met = trigger(pattern="Produce *")
    async with tapped(serve, "kafka", met) as (_, connect, _tap):
        reader, writer = await connect()
        writer.write(produce(2, 9, [("essays", 0, batch())]))
        doing = asyncio.create_task((await met.met()).corrupt(["essays"], scrawl))
        await reader.read()
        writer.close()
        assert await doing is None


@pytest.mark.parametrize(
    ("protocol", "data", "pattern"),
    [
        ("redis", SET, "SET *"),
        ("kafka", commit(1), "OffsetCommit *"),
        ("kafka", produce(1, 9, [], acks=0), "Produce *"),
    ],
)
async def test_what_carries_no_records_or_hears_no_reply_is_not_altered(protocol, data, pattern) -> None:
    async def kafka(reader, _writer):
        await reader.read(1000)

    met = trigger(pattern=pattern)
    async with tapped(redis if protocol == "redis" else kafka, protocol, met) as (_, connect, _tap):
        _, writer = await connect()
        writer.write(data)
        with pytest.raises(FaultError):
            await (await met.met()).corrupt(["essays"], scrawl)
