"""The producer of a load that publishes: it bypasses the proxies, and says what became of each record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from harness.errors import StackError

if TYPE_CHECKING:
    from harness.stack import Record, RunNames

ANSWERS_WITHIN: Final = 30.0
"""Seconds to wait for the broker's acknowledgement of a record."""

_REQUEST_MS: Final = 15_000
_REFUSED: Final = (
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
"""Errors after which a record is certainly not on the topic; any other leaves it unknown."""


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a record: ``ok`` once every replica in sync has it. ``offset`` is None if the broker did not say."""

    phase: Literal["ok", "fail", "unknown"]
    partition: int | None = None
    offset: int | None = None
    error: str | None = None


class Producer:
    """An idempotent producer that waits for all replicas in sync; ``started`` makes one."""

    def __init__(self, producer: AIOKafkaProducer, names: RunNames) -> None:
        self._producer, self._names = producer, names

    @classmethod
    @asynccontextmanager
    async def started(cls, address: str, names: RunNames) -> AsyncIterator[Producer]:
        """Connect to the broker at ``address`` (host:port); StackError if it does not answer."""
        producer = AIOKafkaProducer(
            bootstrap_servers=address,
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=_REQUEST_MS,
            linger_ms=0,
        )
        try:
            await producer.start()
        except BaseException as error:
            await producer.stop()
            if isinstance(error, KafkaError | OSError):
                raise StackError(f"Kafka at {address} does not answer: {error!r}") from error
            raise
        try:
            yield cls(producer, names)
        finally:
            # An idempotent producer never gives up a record; the load does, after recording it as unknown.
            with suppress(TimeoutError, KafkaError):
                await asyncio.wait_for(producer.stop(), ANSWERS_WITHIN)

    async def append(self, record: Record) -> Appended:
        """Append one record, once; a record whose partition is -1 goes where its key belongs. Never raises for the broker.

        The producer repeats a request that failed, under the same sequence number: the broker keeps one record.
        """
        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                sent = await self._producer.send_and_wait(
                    self._names.topic(record.topic),
                    value=record.value,
                    key=record.key,
                    partition=record.partition if record.partition >= 0 else None,
                    headers=list(record.headers),
                )
        except _REFUSED as error:
            return Appended("fail", error=f"{type(error).__name__}: {error}".rstrip(": "))
        except (KafkaError, OSError) as error:  # a TimeoutError is an OSError
            return Appended("unknown", error=f"{type(error).__name__}: {error}".rstrip(": "))
        return Appended("ok", sent.partition, sent.offset if sent.offset >= 0 else None)
