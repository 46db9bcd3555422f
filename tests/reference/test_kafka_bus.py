from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import (
    InvalidTopicError,
    KafkaConnectionError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    RecordListTooLargeError,
)

from reference_impl.service_libs import kafka_bus
from reference_impl.service_libs.errors import KafkaRefused, KafkaUnavailable
from reference_impl.service_libs.kafka_bus import KafkaBus
from reference_impl.service_libs.settings import KafkaSettings


class FakeProducer:
    """In the place of aiokafka's; what happens is a list shared by all of a test's producers."""

    made: list[FakeProducer]
    errors: list[BaseException | None]

    def __init__(self, **options) -> None:
        self.options = options
        self.sent = []
        self.stopped = False
        type(self).made.append(self)

    async def start(self) -> None:
        await self._step()

    async def stop(self) -> None:
        self.stopped = True

    async def send_and_wait(self, topic, value, key) -> None:
        await self._step()
        self.sent.append((topic, key, value))

    async def _step(self) -> None:
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error


@pytest.fixture
def producers(monkeypatch):
    producer = type("Producer", (FakeProducer,), {"made": [], "errors": []})
    monkeypatch.setattr(kafka_bus, "AIOKafkaProducer", producer)
    return producer


@pytest.fixture
async def kafka(producers):
    bus = KafkaBus(KafkaSettings(kafka="127.0.0.1:1", kafka_request_timeout_ms=50, kafka_backoff_ms=10))
    yield bus
    await bus.stop()


async def test_it_is_idempotent_and_asks_all_replicas(kafka, producers):
    await kafka.start()
    options = producers.made[0].options
    assert (options["enable_idempotence"], options["acks"]) == (True, "all")
    assert kafka.reached


async def test_it_publishes(kafka, producers):
    await kafka.publish("essays", "k", b"v")
    assert producers.made[0].sent == [("essays", b"k", b"v")]


async def test_a_start_that_fails_can_be_tried_again(kafka, producers):
    producers.errors[:] = [KafkaConnectionError()]
    with pytest.raises(KafkaUnavailable):
        await kafka.start()
    assert not kafka.reached
    await kafka.start()
    assert len(producers.made) == 2


async def test_a_producer_that_failed_is_replaced(kafka, producers):
    producers.errors[:] = [None, OutOfOrderSequenceNumber()]
    with pytest.raises(KafkaUnavailable):
        await kafka.publish("essays", "k", b"v")
    await kafka.publish("essays", "k", b"v")
    first, second = producers.made
    await kafka.stop()
    assert (first.sent, first.stopped) == ([], True)
    assert second.sent == [("essays", b"k", b"v")]


@pytest.mark.parametrize("error", [MessageSizeTooLargeError, RecordListTooLargeError, InvalidTopicError])
async def test_a_record_that_the_broker_will_never_take_is_refused(kafka, producers, error):
    producers.errors[:] = [None, error()]
    with pytest.raises(KafkaRefused):
        await kafka.publish("essays", "k", b"v")
    await kafka.publish("essays", "k", b"v")


async def test_a_broker_that_never_answers_is_given_up(kafka, producers, monkeypatch):
    async def hang(*_, **__):
        await asyncio.Event().wait()

    monkeypatch.setattr(producers, "send_and_wait", hang)
    with pytest.raises(KafkaUnavailable):
        await kafka.publish("essays", "k", b"v")


async def test_stopping_closes_the_producer(kafka, producers):
    await kafka.start()
    await kafka.stop()
    assert producers.made[0].stopped
