"""Headers' names are bytes to Kafka: a record with any of them is read, and so is what lies around it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from harness.clients.kafka import KafkaClient
from harness.stack import Record, RunNames

pytestmark = pytest.mark.asyncio(loop_scope="session")

NO_TEXT = b"caf\xe9"
NAMES = RunNames("headers")


class Name(str):
    """A header's name that a client of another language may well write: Latin-1."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return NO_TEXT


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kafka(stack: Any) -> AsyncIterator[KafkaClient]:
    client = KafkaClient(stack.direct("kafka"), NAMES)
    await client.start()
    yield client
    await client.stop()


async def produced(address: str, topic: str, codec: int) -> None:
    """One batch of three: a record with such a name in the middle."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, -1, 1 << 20)
    name = Name("caf?")
    for offset, headers in enumerate(([("first", b"1")], [("a", b"1"), (name, b"2"), ("b", None)], [])):
        builder.append(offset, int(time.time() * 1000), b"key", b"in-%d" % offset, headers)
    client = AIOKafkaClient(bootstrap_servers=address)
    await client.bootstrap()
    try:
        node = client.get_random_node()
        batch = [(NAMES.topic(topic), [(0, bytes(builder.build()))])]
        answer = await client.send(node, ProduceRequest(None, -1, 5_000, batch))
        assert answer.topics[0][1][0][1] == 0, answer
    finally:
        await client.close()


@pytest.mark.parametrize(("codec", "topic"), [(0, "plain"), (1, "gzip"), (2, "snappy"), (3, "lz4"), (4, "zstd")])
async def test_a_name_that_is_no_text_ends_no_reader(stack: Any, kafka: KafkaClient, codec: int, topic: str) -> None:
    await kafka.create_topics({topic: 1})
    await kafka.publish(Record(topic, 0, 0, None, b"before"))
    await produced(stack.direct("kafka"), topic, codec)
    await kafka.publish(Record(topic, 0, 0, None, b"after"))
    reader = await kafka.reader({topic: 1})
    try:
        seen = await reader.pass_to_end()
        await kafka.publish(Record(topic, 0, 0, None, b"later"))
        later = await reader.pass_to_end()
    finally:
        await reader.close()
    assert [(one.offset, one.value) for one in seen] == list(
        enumerate([b"before", b"in-0", b"in-1", b"in-2", b"after"])
    )
    assert [one.headers for one in seen[1:4]] == [
        (("first", b"1"),),
        (("a", b"1"), ("caf�", b"2"), ("b", None)),
        (),
    ]
    assert [one.value for one in later] == [b"later"]
    # A fault that publishes a record again begins with what is there.
    last = await kafka.tail(topic, 6)
    assert [one.value for one in last] == [b"before", b"in-0", b"in-1", b"in-2", b"after", b"later"]
    # One without a value is a record, but no work.
    await kafka.publish(Record(topic, 0, 0, b"key", None))
    assert [one.value for one in await kafka.tail(topic, 1)] == [None]
    assert [one.value for one in await kafka.tail(topic, 1, lambda one: one.value is not None)] == [b"later"]
    assert await kafka.records({(topic, 0): 0}, {(topic, 0): 7}) == {(topic, 0): 6}
