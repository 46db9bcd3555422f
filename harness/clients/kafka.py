"""The harness's Kafka client: it bypasses the proxies, and names topics and groups as the system file does."""

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

from harness.clients.groups import committed, members
from harness.clients.records import read_any_header
from harness.errors import FaultError, StackError
from harness.stack import Record, RunNames
from harness.stack import TopicPartition as Named

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence


_REQUEST_MS = 45_000
"""For one request. On a machine with fifteen ready processes a core, a healthy broker was silent for 15 s."""
_T = TypeVar("_T")
_PATIENCE = 90.0
"""Seconds to wait for an answer of the broker, over all requests that it takes; while records are read, for the next ones."""


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Turn any failure to reach the broker into a StackError, which an observer records as a failed read."""
    try:
        yield
    except (KafkaError, OSError) as error:  # a TimeoutError is an OSError
        raise StackError(f"Kafka does not answer: {error!r}") from error


class KafkaClient:
    """One run's view of the broker at ``address`` (host:port); implements ``harness.stack.Broker``.

    Use it between ``start`` and ``stop``. Offsets are Kafka's: a committed offset is the next one that the group
    would read; a visible end is one past the last record that a read_committed reader can see.
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
        self._counter: AIOKafkaConsumer | None = None
        self._counting = asyncio.Lock()
        self._begin: Mapping[Named, int] = {}

    async def start(self) -> None:
        """Connect; raises StackError if the broker does not answer."""
        try:
            await self._admin.start()
            await self._producer.start()
            self._reader = await self._consumer(None)
        except (KafkaError, OSError) as error:
            await self.stop()
            raise StackError(f"Kafka at {self._address} does not answer: {error!r}") from error

    async def stop(self) -> None:
        """Close every connection; may be called twice, or after a failed start."""
        if self._reader is not None:
            await self._reader.stop()
            self._reader = None
        if self._counter is not None:
            await _ended(self._counter)
            self._counter = None
        await self._producer.stop()
        await self._admin.close()

    def leave_aside(self, ends: Mapping[Named, int]) -> None:
        """Exclude the records before ``ends``: readers start after them, and no group is reset to them."""
        self._begin = ends

    async def require_topics(self, topics: Mapping[str, int]) -> None:
        """Raise StackError unless the broker serves each topic with exactly that number of partitions."""
        async with answering(), asyncio.timeout(_PATIENCE):
            if await self._served(topics):
                return
        required = ", ".join(f"{self._names.topic(name)} ({count})" for name, count in topics.items())
        raise StackError(f"Kafka at {self._address} does not serve all of these topics (partitions): {required}")

    async def create_topics(self, topics: Mapping[str, int]) -> None:
        """Create the run's topics (name -> partitions) and wait until the broker serves each."""
        new = [NewTopic(self._names.topic(name), count, 1) for name, count in topics.items()]
        answer = await self._admin.create_topics(new)
        failed = [f"{topic}: {text or code}" for topic, code, text in answer.topic_errors if code]
        if failed:
            raise StackError(f"topics could not be created: {'; '.join(failed)}")
        async with asyncio.timeout(_PATIENCE):
            while not await self._served(topics):
                await asyncio.sleep(0.02)

    async def _served(self, topics: Mapping[str, int]) -> bool:
        described = await self._admin.describe_topics([self._names.topic(name) for name in topics])
        led = {t["topic"]: sum(p["leader"] >= 0 for p in t["partitions"]) for t in described if not t["error_code"]}
        return all(led.get(self._names.topic(name)) == count for name, count in topics.items())

    async def committed(self, service: str) -> Mapping[Named, int]:
        """Return the committed offsets of a service's group; a partition without one is absent."""
        group = self._names.group(service)
        offsets = await _coordinated(lambda: committed(self._admin, group))
        return {
            (topic, tp.partition): offset
            for tp, offset in offsets.items()
            if offset >= 0 and (topic := self._names.plain(tp.topic)) is not None
        }

    async def owners(self, service: str) -> Mapping[Named, str]:
        """Return the member of a service's group that each partition is assigned to; empty while members join."""
        return await self.assigned(service) or {}

    async def assigned(self, service: str) -> Mapping[Named, str] | None:
        """Return the member of a service's group that each partition is assigned to now.

        Empty while members join or once all have left. None if the broker does not know the assignment: it has no
        group of that name, or the group's clients choose their partitions themselves (though they may commit offsets).
        Raises StackError if the broker does not answer.
        """
        group = self._names.group(service)
        assigned = await _coordinated(lambda: members(self._admin, group))
        if assigned is None:
            return None
        named = {tp: self._names.plain(tp.topic) for tp in assigned}
        return {(topic, tp.partition): assigned[tp] for tp, topic in named.items() if topic is not None}

    async def set_offsets(self, service: str, offsets: Mapping[Named, int]) -> None:
        """Commit offsets for a group without members; raises FaultError while it has any."""
        consumer = await self._consumer(self._names.group(service))
        try:
            new = {
                TopicPartition(self._names.topic(t), p): max(offset, self._begin.get((t, p), 0))
                for (t, p), offset in offsets.items()
            }
            consumer.assign(list(new))
            await consumer.commit(new)
        except KafkaError as error:
            raise FaultError(
                f"the offsets of {service} cannot be set while its group has members: {error!r}"
            ) from error
        finally:
            await _ended(consumer)

    async def publish(self, record: Record, *, headers: Sequence[tuple[str, bytes]] = ()) -> Record:
        """Publish one record, with ``headers`` after its own; returns it with the offset that the broker assigned."""
        sent = await self._producer.send_and_wait(
            self._names.topic(record.topic),
            value=record.value,
            key=record.key,
            partition=record.partition,
            headers=[*record.headers, *headers],
        )
        return Record(record.topic, sent.partition, sent.offset, record.key, record.value, record.headers)

    async def records(self, begins: Mapping[Named, int], ends: Mapping[Named, int]) -> Mapping[Named, int]:
        """Count the visible records with a value in each partition of ``begins`` from there to before its end."""
        counts = dict.fromkeys(begins, 0)
        behind = {at: begin for at, begin in begins.items() if begin < ends.get(at, 0)}
        if not behind:
            return counts
        named = {at: TopicPartition(self._names.topic(at[0]), at[1]) for at in behind}
        # One consumer for all counts: starting one takes seconds on a busy machine, and what is counted is over by then.
        async with answering(), asyncio.timeout(_PATIENCE) as silence, self._counting:
            counter = self._counter = self._counter or await self._consumer(None)
            counter.assign(list(named.values()))
            for at, begin in behind.items():
                counter.seek(named[at], begin)
            until = {named[at]: ends[at] for at in behind}
            async for record in TopicReader(counter, self._names).until(until, silence):
                place = record.topic, record.partition
                counts[place] += record.value is not None and record.offset < ends[place]
            counter.unsubscribe()
        return counts

    async def tail(
        self, topic: str, count: int, wanted: Callable[[Record], bool] = lambda _record: True
    ) -> Sequence[Record]:
        """Return the last ``count`` visible records that are ``wanted``, over all partitions of a topic, newest last."""
        (described,) = await self._admin.describe_topics([self._names.topic(topic)])
        partitions = [TopicPartition(self._names.topic(topic), p["partition"]) for p in described["partitions"]]
        consumer = await self._consumer(None)
        try:
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            first = {tp: self._begin.get((topic, tp.partition), 0) for tp in partitions}
            reader, back = TopicReader(consumer, self._names), count
            while True:
                # Not every offset is such a record: transaction markers and aborted records take offsets too.
                starts = {tp: max(first[tp], ends[tp] - back) for tp in partitions}
                for tp, start in starts.items():
                    consumer.seek(tp, start)
                records = [record async for record in reader.until(ends) if wanted(record)]
                if len(records) >= count or starts == first:
                    break
                back *= 2
        finally:
            await _ended(consumer)
        # Across partitions only time orders records; the distance from the end is close enough for "the last".
        records.sort(
            key=lambda record: record.offset - ends[TopicPartition(self._names.topic(topic), record.partition)]
        )
        return records[-count:]

    async def ends(self, topics: Mapping[str, int]) -> Mapping[Named, int]:
        """Return the visible end of each partition of ``topics`` (name -> partitions), read_committed."""
        if self._reader is None:
            raise StackError("the Kafka client was not started")
        partitions = [
            TopicPartition(self._names.topic(name), p) for name, count in topics.items() for p in range(count)
        ]
        async with answering(), asyncio.timeout(_PATIENCE):
            ends = await self._reader.end_offsets(partitions)
        return {(self._names.plain(tp.topic) or tp.topic, tp.partition): end for tp, end in ends.items()}

    async def reader(self, topics: Mapping[str, int]) -> TopicReader:
        """Return a reader of all partitions of ``topics``, from the run's first record on; close it when done."""
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

    async def require_settled(self, topics: Mapping[str, int]) -> None:
        """Raise StackError while a transaction is open on a topic: it hides what was committed after its first record."""
        partitions = [
            TopicPartition(self._names.topic(name), p) for name, count in topics.items() for p in range(count)
        ]
        async with answering(), asyncio.timeout(_PATIENCE):
            consumer = await self._consumer(None, isolation="read_uncommitted")
            try:
                ends = await consumer.end_offsets(partitions)
            finally:
                await _ended(consumer)
        visible = await self.ends(topics)
        for tp, end in ends.items():
            place = self._names.plain(tp.topic) or tp.topic, tp.partition
            if visible[place] < end:
                raise StackError(
                    f"a transaction is open on {place[0]}:{place[1]} from offset {visible[place]} on, which hides what was "
                    "committed after it; let `settle` be longer than the producers' transaction.timeout.ms"
                )

    async def _consumer(self, group: str | None, isolation: str = "read_committed") -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._address,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=isolation,
            request_timeout_ms=_REQUEST_MS,
            fetch_max_wait_ms=50,
        )
        await consumer.start()
        read_any_header(consumer)
        return consumer


class TopicReader:
    """Reads records in passes; each pass continues where the previous one ended."""

    def __init__(self, consumer: AIOKafkaConsumer, names: RunNames) -> None:
        self._consumer = consumer
        self._names = names
        self._held: list[Record] = []

    async def pass_to_end(self) -> list[Record]:
        """Return every record that was visible when the pass began and not returned before.

        Nothing is skipped: if a pass is cut short, the next one returns what it had fetched. Raises StackError if the
        broker does not answer.
        """
        async with answering(), asyncio.timeout(_PATIENCE) as silence:
            ends = await self._consumer.end_offsets(list(self._consumer.assignment()))
            async for record in self.until(ends, silence):
                self._held.append(record)
        held, self._held = self._held, []
        return held

    async def until(
        self, ends: Mapping[TopicPartition, int], silence: asyncio.Timeout | None = None
    ) -> AsyncIterator[Record]:
        """Yield the records before ``ends``; positions move past transaction markers, which hold no record.

        Whenever they move, ``silence`` begins anew: a long topic may take long, as long as the broker answers.
        """
        loop, before = asyncio.get_running_loop(), None
        while True:
            positions = {tp: await self._consumer.position(tp) for tp in ends}
            if silence is not None and positions != before:
                silence.reschedule(loop.time() + _PATIENCE)
            before = positions
            if all(positions[tp] >= end for tp, end in ends.items()):
                return
            for tp, records in (await self._consumer.getmany(timeout_ms=100)).items():
                for record in records:
                    yield Record(
                        self._names.plain(tp.topic) or tp.topic,
                        record.partition,
                        record.offset,
                        record.key,
                        record.value,
                        tuple(record.headers),
                    )

    async def close(self) -> None:
        """Close the reader's connection."""
        await _ended(self._consumer)


async def _coordinated(ask: Callable[[], Awaitable[_T]]) -> _T:
    """Return the answer of a group's coordinator; raises StackError if it stays unavailable."""
    async with answering(), asyncio.timeout(_PATIENCE):
        while True:
            try:
                return await ask()
            except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError):
                await asyncio.sleep(0.1)  # the broker has only just started


async def _ended(consumer: AIOKafkaConsumer) -> None:
    """Stop a client. aiokafka may leak the cancellation of a task of its own that had not begun yet."""
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
