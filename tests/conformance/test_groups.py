"""What a group is assigned, whichever of Kafka's protocols it speaks, and that it is said when this cannot be seen."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from harness.clients.kafka import KafkaClient
from harness.stack import RunNames

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOPICS = {"seats": 3}
TEXT = CompactString("utf-8")
PARTITIONS = (("id_high", Int64), ("id_low", Int64), ("partitions", CompactArray(Int32)), ("tags", TaggedFields))


class Answer(Response):
    """ConsumerGroupHeartbeat (KIP-848), up to the assignment, which is a nullable structure."""

    API_KEY = 68
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32), ("error_code", Int16), ("error_message", TEXT), ("member_id", TEXT),
        ("member_epoch", Int32), ("interval_ms", Int32), ("has_assignment", Int8),
    )  # fmt: skip


class Heartbeat(RequestStruct):
    API_KEY = 68
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = Answer
    SCHEMA = Schema(
        ("group", TEXT), ("member_id", TEXT), ("member_epoch", Int32), ("instance_id", TEXT), ("rack_id", TEXT),
        ("rebalance_timeout_ms", Int32), ("topics", CompactArray(TEXT)), ("assignor", TEXT),
        ("owned", CompactArray(*PARTITIONS)), ("tags", TaggedFields),
    )  # fmt: skip


class Beat(Request[Heartbeat]):
    API_KEY = 68

    def __init__(self, *fields: Any) -> None:
        self._fields = fields

    def build(self, request_struct_class: Any) -> Heartbeat:
        return request_struct_class(*self._fields)


class Updated(Response):
    """UpdateFeatures (KIP-584), up to what came of each."""

    API_KEY = 57
    API_VERSION = 1
    SCHEMA = Schema(("throttle_time_ms", Int32), ("error_code", Int16), ("error_message", TEXT))


class Features(RequestStruct):
    API_KEY = 57
    API_VERSION = 1
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = Updated
    SCHEMA = Schema(
        ("timeout_ms", Int32),
        ("features", CompactArray(("name", TEXT), ("level", Int16), ("upgrade", Int8), ("tags", TaggedFields))),
        ("validate_only", Boolean),
        ("tags", TaggedFields),
    )


class Update(Request[Features]):
    API_KEY = 57

    def build(self, request_struct_class: Any) -> Features:
        return request_struct_class(5_000, [("group.version", 1, 1, {})], False, {})


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kafka(stack: Any) -> AsyncIterator[KafkaClient]:
    client = KafkaClient(stack.direct("kafka"), RunNames("groups"))
    await client.start()
    await client.create_topics(TOPICS)
    yield client
    await client.stop()


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_a_group_of_the_newer_protocol(stack: Any, kafka: KafkaClient) -> None:
    """DescribeGroups calls it dead."""
    names = RunNames("groups")
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.direct("kafka"))
    await admin.start()
    group, member = names.group("newer"), str(uuid.uuid4())

    async def beat(epoch: int, owned: Any, *, wanted: bool = True) -> Any:
        topics = [names.topic("seats")] if wanted else None
        fields = (group, member, epoch, None, None, 60_000 if wanted else -1, topics, None, owned, {})
        answer = await admin._send_request(Beat(*fields), await admin.find_coordinator(group))
        assert not answer.error_code, answer
        return answer

    try:
        assert await kafka.assigned("newer") is None
        # A broker whose storage was made without Kafka's own tool has the protocol off.
        assert not (await admin._send_request(Update())).error_code
        joined = await beat(0, [])

        async def given() -> bool:
            await beat(joined.member_epoch, None, wanted=False)
            return bool(await kafka.assigned("newer"))

        await until(given)
        assert await kafka.assigned("newer") == {("seats", n): joined.member_id for n in range(3)}
        assert await kafka.owners("newer") == await kafka.assigned("newer")
        await beat(-1, None, wanted=False)
        assert await kafka.assigned("newer") == {}
    finally:
        await admin.close()


async def test_a_group_of_the_classic_protocol(stack: Any, kafka: KafkaClient) -> None:
    names = RunNames("groups")
    consumer = AIOKafkaConsumer(
        names.topic("seats"), bootstrap_servers=stack.direct("kafka"), group_id=names.group("classic")
    )
    await consumer.start()
    try:

        async def given() -> bool:
            return bool(await kafka.assigned("classic"))

        await until(given)
        assert set(await kafka.assigned("classic") or ()) == {("seats", n) for n in range(3)}
    finally:
        await consumer.stop()
    assert await kafka.assigned("classic") == {}


async def test_what_clients_choose_themselves_is_not_seen(stack: Any, kafka: KafkaClient) -> None:
    names = RunNames("groups")
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.direct("kafka"), group_id=names.group("manual"))
    await consumer.start()
    try:
        consumer.assign([TopicPartition(names.topic("seats"), 0)])
        await consumer.commit({TopicPartition(names.topic("seats"), 0): 0})
    finally:
        await consumer.stop()
    assert await kafka.committed("manual") == {("seats", 0): 0}
    assert await kafka.assigned("manual") is None


async def test_a_group_that_the_broker_does_not_know_is_not_seen(kafka: KafkaClient) -> None:
    assert await kafka.assigned("nobody") is None
