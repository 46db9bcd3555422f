"""The harness's own Kafka client: past the proxies, with topics and groups by the system file's names."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
)

from harness.clients.groups import members
from harness.clients.records import read_any_header
from harness.errors import FaultError, StackError
from harness.stack import Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from harness.stack import RunNames
    from harness.stack import TopicPartition as Named

_REQUEST_MS = 15_000
_T = TypeVar("_T")
_PATIENCE = 30.0
"""Seconds until an answer that the broker owes is given up on."""


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """What goes wrong between the harness and the broker, as a StackError: the observer then could not read."""
    try:
        yield
    except (KafkaError, OSError) as error:  # a TimeoutError is an OSError
        raise StackError(f"Kafka does not answer: {error!r}") from error


class KafkaClient:
    """One run's view of the broker at ``address`` (host:port); implements ``harness.stack.Broker``.

    ``start`` and ``stop`` bracket its life. Offsets are counted as Kafka does: the committed offset is the next
    one the group would read; a visible end is one past the last record a read_committed reader can see.
    """

    def __init__(self, address: str, names: RunNames) -> None:
        self._address = address
        self._names = names
        self._admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=_REQUEST_MS)
        self._producer = AIOKafkaProducer(
            bootstrap_servers=address,
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=_REQUEST_MS,
            linger_ms=0,
        )
        self._reader: AIOKafkaConsumer | None = None
        self._begin: Mapping[Named, int] = {}

    async def start(self) -> None:
        """Connect; StackError if the broker does not answer."""
        try:
            await self._admin.start()
            await self._producer.start()
            self._reader = await self._consumer(None)
        except (KafkaError, OSError) as error:
            await self.stop()
            message = f"Kafka at {self._address} does not answer: {error!r}"
            raise StackError(message) from error

    async def stop(self) -> None:
        """Close every connection; may be called twice, or after a failed start."""
        if self._reader is not None:
            await self._reader.stop()
            self._reader = None
        await self._producer.stop()
        await self._admin.close()

    async def leave_aside(self, topics: Mapping[str, int]) -> Mapping[Named, int]:
        """What ``topics`` hold now is not the run's: readers begin behind it, and no group is set back before it."""
        self._begin = await self.ends(topics)
        return self._begin

    async def require_topics(self, topics: Mapping[str, int]) -> None:
        """StackError unless the broker serves each topic, name -> partitions, as it is."""
        async with answering(), asyncio.timeout(_PATIENCE):
            if await self._served(topics):
                return
        wanted = ", ".join(f"{self._names.topic(name)} ({count})" for name, count in topics.items())
        raise StackError(f"Kafka at {self._address} does not serve all of these topics (partitions): {wanted}")

    async def create_topics(self, topics: Mapping[str, int]) -> None:
        """Create the run's topics, name -> partitions, and wait until the broker can serve each."""
        new = [NewTopic(self._names.topic(name), count, 1) for name, count in topics.items()]
        answer = await self._admin.create_topics(new)
        failed = [f"{topic}: {text or code}" for topic, code, text in answer.topic_errors if code]
        if failed:
            message = f"topics could not be created: {'; '.join(failed)}"
            raise StackError(message)
        async with asyncio.timeout(_PATIENCE):
            while not await self._served(topics):
                await asyncio.sleep(0.02)

    async def _served(self, topics: Mapping[str, int]) -> bool:
        described = await self._admin.describe_topics([self._names.topic(name) for name in topics])
        led = {t["topic"]: sum(p["leader"] >= 0 for p in t["partitions"]) for t in described if not t["error_code"]}
        return all(led.get(self._names.topic(name)) == count for name, count in topics.items())

    async def committed(self, service: str) -> Mapping[Named, int]:
        """Committed offsets of a service's group; a partition without one is absent."""
        group = self._names.group(service)
        offsets = await _coordinated(lambda: self._admin.list_consumer_group_offsets(group))
        return {
            (topic, tp.partition): meta.offset
            for tp, meta in offsets.items()
            if meta.offset >= 0 and (topic := self._names.plain(tp.topic)) is not None
        }

    async def owners(self, service: str) -> Mapping[Named, str]:
        """Which member of a service's group each partition is given to; none while the group is being joined."""
        return await self.assigned(service) or {}

    async def assigned(self, service: str) -> Mapping[Named, str] | None:
        """Which member of a service's group each partition is given to now, by (topic, partition).

        Empty while the group is being joined, or once all members left. None if it cannot be seen what the service is
        given: the broker knows no group of that name, or one whose clients choose their partitions themselves
        (though they may commit offsets). StackError if the broker does not answer.
        """
        group = self._names.group(service)
        found = await _coordinated(lambda: members(self._admin, group))
        if found is None:
            return None
        named = {tp: self._names.plain(tp.topic) for tp in found}
        return {(topic, tp.partition): found[tp] for tp, topic in named.items() if topic is not None}

    async def set_offsets(self, service: str, offsets: Mapping[Named, int]) -> None:
        """Commit offsets for a group without members; FaultError while a member lives."""
        consumer = await self._consumer(self._names.group(service))
        try:
            wanted = {
                TopicPartition(self._names.topic(t), p): max(offset, self._begin.get((t, p), 0))
                for (t, p), offset in offsets.items()
            }
            consumer.assign(list(wanted))
            await consumer.commit(wanted)
        except KafkaError as error:
            message = f"the offsets of {service} cannot be set while its group has members: {error!r}"
            raise FaultError(message) from error
        finally:
            await _ended(consumer)

    async def publish(self, record: Record, *, headers: Sequence[tuple[str, bytes]] = ()) -> Record:
        """Publish one record, its own headers first; the answer carries the offset the broker gave."""
        sent = await self._producer.send_and_wait(
            self._names.topic(record.topic),
            value=record.value,
            key=record.key,
            partition=record.partition,
            headers=[*record.headers, *headers],
        )
        return Record(record.topic, sent.partition, sent.offset, record.key, record.value, record.headers)

    async def tail(self, topic: str, count: int) -> Sequence[Record]:
        """The last ``count`` visible records of a topic, spread over its partitions, newest last."""
        (described,) = await self._admin.describe_topics([self._names.topic(topic)])
        wanted = [TopicPartition(self._names.topic(topic), p["partition"]) for p in described["partitions"]]
        consumer = await self._consumer(None)
        try:
            consumer.assign(wanted)
            ends = await consumer.end_offsets(wanted)
            first = {tp: self._begin.get((topic, tp.partition), 0) for tp in wanted}
            reader, back = TopicReader(consumer, self._names), count
            while True:
                # Not every offset is a visible record: a transaction's marker has one, and so has what was aborted.
                starts = {tp: max(first[tp], ends[tp] - back) for tp in wanted}
                for tp, start in starts.items():
                    consumer.seek(tp, start)
                found = [record async for record in reader.until(ends)]
                if len(found) >= count or starts == first:
                    break
                back *= 2
        finally:
            await _ended(consumer)
        # Records carry no order over partitions but time; offsets from the end are near enough for "the last ones".
        found.sort(
            key=lambda record: record.offset - ends[TopicPartition(self._names.topic(topic), record.partition)]
        )
        return found[-count:]

    async def ends(self, topics: Mapping[str, int]) -> Mapping[Named, int]:
        """Visible ends of each partition of ``topics`` (name -> partitions), for a read_committed reader."""
        if self._reader is None:
            message = "the Kafka client was not started"
            raise StackError(message)
        wanted = [TopicPartition(self._names.topic(name), p) for name, count in topics.items() for p in range(count)]
        async with answering(), asyncio.timeout(_PATIENCE):
            ends = await self._reader.end_offsets(wanted)
        return {(self._names.plain(tp.topic) or tp.topic, tp.partition): end for tp, end in ends.items()}

    async def reader(self, topics: Mapping[str, int]) -> TopicReader:
        """A reader over all partitions of ``topics`` from their first record of the run on; close it when done."""
        consumer = await self._consumer(None)
        begins = {
            TopicPartition(self._names.topic(t), p): self._begin.get((t, p), 0)
            for t, count in topics.items()
            for p in range(count)
        }
        consumer.assign(list(begins))
        for tp, begin in begins.items():
            consumer.seek(tp, begin)
        return TopicReader(consumer, self._names)

    async def _consumer(self, group: str | None) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._address,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            request_timeout_ms=_REQUEST_MS,
            fetch_max_wait_ms=50,
        )
        await consumer.start()
        read_any_header(consumer)
        return consumer


class TopicReader:
    """Reads records in passes; each pass goes on where the one before ended."""

    def __init__(self, consumer: AIOKafkaConsumer, names: RunNames) -> None:
        self._consumer = consumer
        self._names = names
        self._held: list[Record] = []

    async def pass_to_end(self) -> list[Record]:
        """Every record visible when the pass began and not given before; StackError if the broker does not answer.

        What a pass had fetched when it was cut short is given by the next one: nothing is passed over.
        """
        async with answering(), asyncio.timeout(_PATIENCE):
            ends = await self._consumer.end_offsets(list(self._consumer.assignment()))
            async for record in self.until(ends):
                self._held.append(record)
        held, self._held = self._held, []
        return held

    async def until(self, ends: Mapping[TopicPartition, int]) -> AsyncIterator[Record]:
        """Records up to ``ends``; positions move past transaction markers, which carry no record."""
        while True:
            positions = {tp: await self._consumer.position(tp) for tp in ends}
            if all(positions[tp] >= end for tp, end in ends.items()):
                return
            for tp, records in (await self._consumer.getmany(timeout_ms=100)).items():
                for found in records:
                    yield Record(
                        self._names.plain(tp.topic) or tp.topic,
                        found.partition,
                        found.offset,
                        found.key,
                        found.value,
                        tuple(found.headers),
                    )

    async def close(self) -> None:
        """Close the reader's connection."""
        await _ended(self._consumer)


async def _coordinated(ask: Callable[[], Awaitable[_T]]) -> _T:
    """The answer of a group's coordinator; StackError if it does not answer for a while."""
    async with answering(), asyncio.timeout(_PATIENCE):
        while True:
            try:
                return await ask()
            except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError):
                await asyncio.sleep(0.1)  # the broker has just started, and says so


async def _ended(consumer: AIOKafkaConsumer) -> None:
    """Stop a client, which may raise the cancellation of a task of its own that had not begun yet."""
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
