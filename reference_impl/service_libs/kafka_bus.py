"""Publishes to Kafka: idempotent producer, acks=all, bounded waits."""

import asyncio
import contextlib

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidTopicError, KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from reference_impl.service_libs.errors import KafkaRefused, KafkaUnavailable
from reference_impl.service_libs.settings import KafkaSettings

_log = structlog.get_logger()

_REFUSALS = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTopicError)


class KafkaBus:
    """Publishes records, each acknowledged by all in-sync replicas.

    A producer that failed is replaced: after a record without an answer its sequence numbers have a gap, and it might
    be fenced. Whatever it still sends may be written twice, which consumers tolerate.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        # An attempt may begin just before the time-out of the previous one ends it, hence twice.
        self._longest = 2 * settings.kafka_request_timeout_ms / 1000
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._retired: set[asyncio.Task[None]] = set()
        self.reached = False
        """Whether a producer ever connected."""

    async def start(self) -> None:
        """Connect if not connected. Raises ``KafkaUnavailable``."""
        async with self._starting:
            if self._producer is not None:
                return
            producer = AIOKafkaProducer(
                bootstrap_servers=self._settings.kafka,
                enable_idempotence=True,
                acks="all",
                request_timeout_ms=self._settings.kafka_request_timeout_ms,
                retry_backoff_ms=self._settings.kafka_backoff_ms,
                metadata_max_age_ms=self._settings.kafka_metadata_max_age_ms,
            )
            try:
                async with asyncio.timeout(self._longest):
                    await producer.start()
            except BaseException as error:
                self._retire(producer)
                if isinstance(error, KafkaError | OSError):
                    raise KafkaUnavailable(repr(error)) from error
                raise
            self._producer = producer
            self.reached = True

    async def stop(self) -> None:
        """Flush and close, within the time limit of one publish."""
        if self._producer is not None:
            self._retire(self._producer)
            self._producer = None
        if self._retired:
            _, late = await asyncio.wait(self._retired, timeout=self._longest)
            for task in late:
                task.cancel()

    async def publish(self, topic: str, key: str, value: bytes) -> None:
        """Return once the broker has acknowledged the record; records with one key go to one partition.

        Raises ``KafkaUnavailable``, or ``KafkaRefused`` if the broker will never accept the record.
        """
        await self.start()
        producer = self._producer
        if producer is None:
            raise KafkaUnavailable("stopped")
        try:
            async with asyncio.timeout(self._longest):
                await producer.send_and_wait(topic, value, key=key.encode())
        except (KafkaError, OSError) as error:
            if self._producer is producer:
                self._producer = None
                self._retire(producer)
            if isinstance(error, _REFUSALS):
                raise KafkaRefused(repr(error)) from error
            raise KafkaUnavailable(repr(error)) from error

    def _retire(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(_close(producer))
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)


async def _close(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(KafkaError, OSError):
        await producer.stop()
