"""The harness's Kafka client, with a consumer that is made up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from harness.clients import kafka
from harness.clients.kafka import KafkaClient, TopicReader
from harness.errors import StackError
from harness.stack import RunNames
from tests.standin import StandIn

NAMES = RunNames("r1")
AT = TopicPartition("r1.orders", 0)


class Consumer(StandIn):
    """Brings one record of a partition every ``seconds``; ``None`` is one without a value."""

    def __init__(self, values: Sequence[bytes | None], seconds: float = 0.0) -> None:
        self._values, self._seconds, self._at = values, seconds, 0

    def assignment(self) -> set[TopicPartition]:
        return {AT}

    def assign(self, partitions: list[TopicPartition]) -> None:
        assert partitions == [AT]

    def unsubscribe(self) -> None:
        pass

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._at = offset

    async def position(self, partition: TopicPartition) -> int:
        return self._at

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {AT: len(self._values)}

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(self._seconds)
        offset, self._at = self._at, self._at + 1
        value = self._values[offset]
        return {AT: [SimpleNamespace(partition=0, offset=offset, key=b"k", value=value, headers=())]}

    async def stop(self) -> None:
        pass


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> KafkaClient:
    """One whose consumers bring three events, each before a tombstone, and two more tombstones."""

    async def consumer(*_: object) -> Consumer:
        return Consumer([b"a", None, b"b", None, b"c", None, None, None])

    class Admin(StandIn):
        async def describe_topics(self, topics: list[str]) -> list[dict[str, object]]:
            return [{"partitions": [{"partition": 0}]}]

    made = KafkaClient.__new__(KafkaClient)
    made._names, made._begin, made._counter, made._counting = NAMES, {}, None, asyncio.Lock()
    monkeypatch.setattr(made, "_consumer", consumer, raising=False)
    monkeypatch.setattr(made, "_admin", Admin(), raising=False)
    return made


async def test_the_last_records_are_looked_for_until_enough_are_wanted(client: KafkaClient) -> None:
    assert [one.value for one in await client.tail("orders", 2)] == [None, None]
    found = await client.tail("orders", 2, lambda record: record.value is not None)
    assert [one.value for one in found] == [b"b", b"c"]
    found = await client.tail("orders", 9, lambda record: record.value is not None)
    assert [one.value for one in found] == [b"a", b"b", b"c"]


async def test_records_without_a_value_are_not_counted_as_work(client: KafkaClient) -> None:
    at, end = ("orders", 0), {("orders", 0): 8}
    assert await client.records({at: 0}, end) == {at: 3}
    assert await client.records({at: 5}, end) == {at: 0}


async def test_a_long_topic_may_take_longer_to_read_than_a_broker_may_be_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka, "_PATIENCE", 0.5)
    reader = TopicReader(Consumer([b"x"] * 12, seconds=0.1), NAMES)
    assert len(await reader.pass_to_end()) == 12


async def test_a_broker_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Consumer):
        async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
            await asyncio.sleep(0.01)
            return {} if self._at == 2 else await super().getmany(timeout_ms)

    monkeypatch.setattr(kafka, "_PATIENCE", 0.2)
    with pytest.raises(StackError, match="Kafka does not answer: TimeoutError"):
        await TopicReader(Silent([b"x"] * 4), NAMES).pass_to_end()
