"""The loop between Kafka and a handler of deliveries.

Each partition has at most one delivery in progress; partitions run concurrently. A partition is paused while its batch
is in progress. Offsets are committed last, and never past an unfinished delivery.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from reference_impl.service_libs.backoff import Backoff
from reference_impl.service_libs.errors import KafkaUnavailable
from reference_impl.service_libs.idempotency import Consume
from reference_impl.service_libs.kafka_internals import close_abruptly, has_stopped_fetching, read_leniently
from reference_impl.service_libs.logging import brief
from reference_impl.service_libs.message import Delivery
from reference_impl.service_libs.metrics import Metrics
from reference_impl.service_libs.settings import ConsumerSettings
from reference_impl.service_libs.suspects import Suspects

_log = structlog.get_logger()

_POLL_MS = 200
_LAG_SECONDS = 5.0
_COMMIT_SECONDS = 0.05
_LONGEST_GRACE_SECONDS = 1.5


@dataclass(frozen=True)
class Subscription:
    """The topics that a consumer reads, and the function that consumes each delivery."""

    topics: Sequence[str]
    consume: Consume


@dataclass
class Consumer:
    """Reads topics as a member of a group, forever; rejoins with a new client whenever the old one breaks."""

    settings: ConsumerSettings
    subscription: Subscription
    suspects: Suspects
    backoff: Backoff
    metrics: Metrics
    _session: "_Session | None" = field(default=None, init=False)

    @property
    def assigned(self) -> bool:
        """Whether the group has assigned this member its partitions, even if there are none."""
        return self._session is not None and self._session.assigned

    async def catch_up(self) -> None:
        """Wait until the group has committed all that was on its topics when this was called.

        Raises ``KafkaUnavailable`` or ``OSError`` if Kafka does not answer, or the group is rebalancing.
        """
        try:
            ends = await self._member().ends()
            while not await self._member().has_committed(ends):
                await asyncio.sleep(_LAG_SECONDS)
        except KafkaError as error:
            raise KafkaUnavailable(brief(error)) from error

    def _member(self) -> "_Session":
        if self._session is None or not self._session.assigned:
            raise KafkaUnavailable("no partitions are assigned")
        return self._session

    async def run(self) -> None:
        """Consume until cancelled; then finish or abandon the deliveries in progress, commit, and leave the group."""
        failures = 0
        while True:
            self._session = _Session(self)
            try:
                await self._session.run()
            except Exception as error:  # noqa: BLE001 - standing still would be worse
                failures = 1 if self._session.joined else failures + 1
                ours = not isinstance(error, KafkaError | OSError)
                _log.warning("rejoining the group", failures=failures, error=brief(error), exc_info=ours)
                await self.backoff.wait(failures)


class _Session(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """The life of one client, from joining the group to leaving it."""

    def __init__(self, consumer: Consumer) -> None:
        settings = consumer.settings
        self._consumer = consumer
        self._held: asyncio.Task[None] | None = None
        self.assigned = False
        self.joined = False
        self._batch = settings.max_poll_records
        self._request_seconds = settings.kafka_request_timeout_ms / 1000
        # Shorter than the session time-out, for which the group also waits for a member in a rebalance, and short
        # enough to abandon, commit and leave before the process must exit.
        self._grace_seconds = min(settings.session_timeout_ms / 3000, _LONGEST_GRACE_SECONDS)
        self._client = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka,
            group_id=settings.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # the default skips records from before the first commit
            isolation_level="read_committed",
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            request_timeout_ms=settings.kafka_request_timeout_ms,
            retry_backoff_ms=settings.kafka_backoff_ms,
            metadata_max_age_ms=settings.kafka_metadata_max_age_ms,
            fetch_max_wait_ms=settings.fetch_max_wait_ms,
        )
        self._workers: dict[TopicPartition, asyncio.Task[None]] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._finished: dict[TopicPartition, int] = {}
        self._reached: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._progress = asyncio.Event()

    async def run(self) -> None:
        beside = [asyncio.create_task(self._commit_progress()), asyncio.create_task(self._watch_lag())]
        try:
            async with asyncio.timeout(2 * self._request_seconds):
                await self._client.start()
            self._client.subscribe(list(self._consumer.subscription.topics), listener=self)
            while True:
                batches = await self._client.getmany(timeout_ms=_POLL_MS, max_records=self._batch)
                for partition, records in batches.items():
                    self._begin(partition, records)
                if has_stopped_fetching(self._client):  # getmany would return nothing, forever
                    raise KafkaError("the client stopped fetching")
                for task in (*beside, *self._workers.values()):
                    if task.done():
                        task.result()  # raises: without these tasks nothing would be committed, or handled
        except UnicodeDecodeError:  # inside a batch, which the client would fetch again forever
            read_leniently()
            raise
        finally:
            for task in beside:
                task.cancel()
            await self._stop_workers()
            await self._leave()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.assigned = self.joined = True
        ours = [(partition.topic, partition.partition) for partition in assigned]
        self._held = asyncio.create_task(self._consumer.suspects.hold(ours))
        _log.info("assigned", partitions=sorted(ours))

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - always all
        """Hand over with nothing in progress: no two members, nor one member twice, may work on a partition."""
        self.assigned = False
        await self._stop_workers()
        await self._hand_over()
        self._finished.clear()
        self._reached.clear()
        self._committed.clear()
        self._consumer.metrics.lag.clear()

    async def _hand_over(self) -> None:
        """Commit and let go of the partitions, both within the time that the group waits."""
        await self._commit(self._grace_seconds)
        if self._held is None:
            return
        self._held.cancel()
        self._held = None
        try:
            async with asyncio.timeout(self._grace_seconds):
                await self._consumer.suspects.let_go()
        except Exception as error:  # noqa: BLE001 - at worst, the next holder is careful for nothing
            _log.warning("holding notes not removed", error=brief(error))

    def _begin(self, partition: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        if self.assigned:
            self._reached.setdefault(partition, records[0].offset)
            self._client.pause(partition)
            self._workers[partition] = asyncio.create_task(self._work(partition, records))
        elif partition in self._client.assignment():
            # Fetched during a rebalance: not ours to start, but it must not be skipped either.
            self._client.seek(partition, records[0].offset)

    async def _work(self, partition: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        if self._held is not None:
            await asyncio.shield(self._held)
        me = asyncio.current_task()
        for record in records:
            if me in self._stopping:
                return
            delivery = Delivery(
                record.topic, record.partition, record.offset, record.key, record.value, tuple(record.headers)
            )
            self._consumer.metrics.deliveries.labels(delivery.topic).inc()
            what = f"consume {delivery.topic}:{delivery.partition}:{delivery.offset}"
            consume = partial(self._consumer.subscription.consume, delivery)
            # Retry whatever the error is: going on would lose the delivery.
            await self._consumer.backoff.persist(consume, what, whatever=True)
            if self._workers.get(partition) is not me and me not in self._stopping:
                return  # the partition has been handed over, and its offset with it
            self._finished[partition] = self._reached[partition] = record.offset + 1
            self._progress.set()
        if partition in self._client.assignment():
            self._client.resume(partition)

    async def _stop_workers(self) -> None:
        """Give each worker a short while to finish its delivery; abandoned deliveries come again."""
        self._stopping = {*self._workers.values()}
        self._workers.clear()
        if not self._stopping:
            return
        _, late = await asyncio.wait(self._stopping, timeout=self._grace_seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=self._grace_seconds)
        self._stopping = set()

    async def _commit_progress(self) -> None:
        failures = 0
        while True:
            await self._progress.wait()
            await asyncio.sleep(_COMMIT_SECONDS)  # batches commits, and so saves round trips
            self._progress.clear()
            if await self._commit(2 * self._request_seconds):
                failures = 0
            else:
                failures += 1
                await self._consumer.backoff.wait(failures)
                self._progress.set()

    async def _commit(self, seconds: float) -> bool:
        """Commit finished offsets; return False on failure, which the next commit makes up for."""
        ours = self._client.assignment()
        offsets = {tp: at for tp, at in self._finished.items() if tp in ours and self._committed.get(tp) != at}
        if not offsets:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._client.commit(offsets)
        except (KafkaError, OSError) as error:
            _log.warning("offsets not committed", error=brief(error))
            return False
        self._committed.update(offsets)
        return True

    async def _watch_lag(self) -> None:
        """Measure now and then how far each partition is behind; a paused one is not fetched, so ask for its end."""
        while True:
            await asyncio.sleep(_LAG_SECONDS)
            with contextlib.suppress(KafkaError, OSError):
                async with asyncio.timeout(self._request_seconds):
                    ends = await self._client.end_offsets(self._client.assignment())
                    for partition, end in ends.items():
                        at = self._reached.get(partition)
                        if at is None:
                            at = await self._client.position(partition)
                        self._consumer.metrics.lag.labels(partition.topic, partition.partition).set(end - at)

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the end of each partition of the topics, whichever member has it."""
        # A topic that is not known yet is asked for until it is.
        found = {
            TopicPartition(topic, number)
            for topic in self._consumer.subscription.topics
            for number in self._client.partitions_for_topic(topic) or {0}
        }
        async with asyncio.timeout(self._request_seconds):
            return dict(await self._client.end_offsets(found))

    async def has_committed(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether the group has committed these offsets, or the topic keeps nothing from before them any more."""
        async with asyncio.timeout(self._request_seconds):
            begins = await self._client.beginning_offsets(list(ends))
            for partition, end in ends.items():
                if begins[partition] < end and (await self._client.committed(partition) or 0) < end:
                    return False
        return True

    async def _leave(self) -> None:
        await self._hand_over()
        try:
            async with asyncio.timeout(self._request_seconds):
                await self._client.stop()
        except (KafkaError, OSError) as error:
            _log.warning("could not leave the group", error=brief(error))
            await close_abruptly(self._client, self._grace_seconds)
