"""The loop, against a client that hands out what the test says and notes what is asked of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, KafkaConnectionError, KafkaError

from reference_impl.service_libs import consumer as consumers
from reference_impl.service_libs.consumer import Consumer, Subscription
from reference_impl.service_libs.errors import KafkaUnavailable
from reference_impl.service_libs.settings import ConsumerSettings

P0, P1 = TopicPartition("essays", 0), TopicPartition("essays", 1)


def records(partition, *offsets):
    return [
        SimpleNamespace(
            topic=partition.topic, partition=partition.partition, offset=offset, key=b"k", value=b"v", headers=()
        )
        for offset in offsets
    ]


@dataclass
class Broker:
    """What all of a test's clients share."""

    batches: asyncio.Queue = field(default_factory=asyncio.Queue)
    committed: dict = field(default_factory=dict)
    commits: list = field(default_factory=list)
    paused: set = field(default_factory=set)
    sought: list = field(default_factory=list)
    errors: list = field(default_factory=list)
    begins: dict = field(default_factory=lambda: {P0: 0, P1: 0})
    ends: dict = field(default_factory=lambda: {P0: 10, P1: 10})
    options: list = field(default_factory=list)
    listener: object = None
    started: int = 0
    stopped: int = 0
    assigns_on_subscribe: bool = True


class Fetcher:
    def __init__(self) -> None:
        self.error_future = asyncio.get_running_loop().create_future()

    async def _proc_fetch_request(self): ...


class Client:
    def __init__(self, broker, **options) -> None:
        self.broker = broker
        broker.options.append(options)
        self._fetcher = Fetcher()
        self.assigned = set()

    async def start(self):
        self.broker.started += 1
        if self.broker.errors and isinstance(self.broker.errors[0], KafkaConnectionError):
            raise self.broker.errors.pop(0)

    async def stop(self):
        self.broker.stopped += 1

    def subscribe(self, topics, listener):
        self.assigned = {P0, P1}
        self.broker.listener = listener
        if self.broker.assigns_on_subscribe:
            listener.assigned = True

    def assignment(self):
        return self.assigned

    def pause(self, partition):
        self.broker.paused.add(partition)

    def resume(self, partition):
        self.broker.paused.discard(partition)

    def seek(self, partition, offset):
        self.broker.sought.append((partition, offset))

    async def getmany(self, *, timeout_ms, max_records):
        try:
            async with asyncio.timeout(0.01):
                batch = await self.broker.batches.get()
        except TimeoutError:
            return {}
        if isinstance(batch, Exception):
            raise batch
        return batch

    def partitions_for_topic(self, topic):
        return {partition.partition for partition in self.broker.ends if partition.topic == topic}

    async def end_offsets(self, partitions):
        return {partition: self.broker.ends[partition] for partition in partitions}

    async def beginning_offsets(self, partitions):
        return {partition: self.broker.begins[partition] for partition in partitions}

    async def committed(self, partition):
        return self.broker.committed.get(partition)

    async def position(self, _partition):
        return 4

    async def commit(self, offsets):
        self.broker.commits.append(dict(offsets))
        if self.broker.errors:
            raise self.broker.errors.pop(0)
        self.broker.committed.update(offsets)


@pytest.fixture
async def broker(monkeypatch):
    broker = Broker()
    monkeypatch.setattr(consumers, "AIOKafkaConsumer", lambda **options: Client(broker, **options))
    return broker


SETTINGS = ConsumerSettings(
    port=1,
    kafka="127.0.0.1:1",
    group="group",
    database_url="sqlite://",
    content_url="http://127.0.0.1:1",
    session_timeout_ms=1500,
    kafka_request_timeout_ms=2000,
)


class Suspects:
    """Notes what is held, and can be away."""

    def __init__(self) -> None:
        self.held, self.let_go_of = [], 0
        self.there = asyncio.Event()
        self.there.set()

    async def hold(self, partitions):
        await self.there.wait()
        self.held.append(sorted(partitions))

    async def let_go(self):
        await self.there.wait()
        self.let_go_of += 1


@pytest.fixture
async def suspects():
    return Suspects()


@pytest.fixture
async def start(broker, backoff, metrics, suspects):
    """Starts a consumer over a handler of deliveries; stops it in the end."""
    tasks = []

    def run(consume):
        consumer: Any = Consumer(SETTINGS, Subscription(["essays"], consume), suspects, backoff, metrics)
        tasks.append(asyncio.create_task(consumer.run()))
        consumer.task = tasks[-1]
        return consumer

    yield run
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def handled():
    return []


@pytest.fixture
def gates():
    """An event for each (partition, offset) that a test wants to hold up."""
    return {}


@pytest.fixture
def handle(handled, gates):
    async def consume(delivery):
        place = (delivery.partition, delivery.offset)
        if place in gates:
            await gates[place].wait()
        handled.append(place)

    return consume


async def test_it_begins_at_the_beginning_and_commits_by_hand(start, broker, handle, until):
    start(handle)
    await until(lambda: broker.started)
    (options,) = broker.options
    assert options["auto_offset_reset"] == "earliest"
    assert options["enable_auto_commit"] is False


async def test_a_delivery_is_committed_after_it_was_handled(start, broker, handle, handled, until):
    start(handle)
    broker.batches.put_nowait({P0: records(P0, 0, 1, 2)})
    await until(lambda: broker.committed.get(P0) == 3)
    assert handled == [(0, 0), (0, 1), (0, 2)]


async def test_what_is_finished_soon_after_is_committed_with_it(start, broker, until, monkeypatch):
    monkeypatch.setattr(consumers, "_COMMIT_SECONDS", 0.5)

    async def handle(_delivery):
        await asyncio.sleep(0)

    start(handle)
    broker.batches.put_nowait({P0: records(P0, *range(100))})
    await until(lambda: broker.committed.get(P0) == 100)
    assert len(broker.commits) <= 3


async def test_nothing_is_committed_past_an_unfinished_delivery(*, start, broker, handle, handled, gates, until):
    gates[(0, 1)] = asyncio.Event()
    start(handle)
    broker.batches.put_nowait({P0: records(P0, 0, 1, 2)})
    await until(lambda: broker.committed.get(P0) == 1)
    assert handled == [(0, 0)]
    assert P0 in broker.paused
    gates[(0, 1)].set()
    await until(lambda: broker.committed.get(P0) == 3)
    await until(lambda: P0 not in broker.paused)


async def test_a_partition_that_is_held_up_does_not_hold_up_another(*, start, broker, handle, handled, gates, until):
    gates[(0, 0)] = asyncio.Event()
    start(handle)
    broker.batches.put_nowait({P0: records(P0, 0), P1: records(P1, 5, 6)})
    await until(lambda: broker.committed.get(P1) == 7)
    assert P0 not in broker.committed


async def test_a_handler_that_raises_is_tried_again_and_nothing_is_skipped(start, broker, handled, until):
    failures = [RuntimeError(), RuntimeError()]

    async def consume(delivery):
        if failures:
            raise failures.pop()
        handled.append(delivery.offset)

    start(consume)
    broker.batches.put_nowait({P0: records(P0, 0, 1)})
    await until(lambda: broker.committed.get(P0) == 2)
    assert handled == [0, 1]


async def test_a_failed_commit_is_made_up_for_and_is_no_failure_of_the_handler(start, broker, handle, handled, until):
    broker.errors = [CommitFailedError(), CommitFailedError()]
    start(handle)
    broker.batches.put_nowait({P0: records(P0, 0)})
    await until(lambda: broker.committed.get(P0) == 1)
    assert handled == [(0, 0)]


async def test_a_partition_taken_away_has_nothing_in_work_afterwards(*, start, broker, handle, handled, gates, until):
    gates[(0, 1)] = asyncio.Event()
    consumer = start(handle)
    broker.batches.put_nowait({P0: records(P0, 0, 1, 2)})
    await until(lambda: handled == [(0, 0)])
    await broker.listener.on_partitions_revoked({P0, P1})
    assert not consumer.assigned
    assert broker.committed == {P0: 1}
    gates[(0, 1)].set()
    await asyncio.sleep(0.01)
    assert handled == [(0, 0)]  # abandoned: whoever has the partition now is handed it


async def test_the_delivery_in_hand_may_finish_before_the_partition_goes(
    *, start, broker, handle, handled, gates, until
):
    gates[(0, 0)] = asyncio.Event()
    start(handle)
    broker.batches.put_nowait({P0: records(P0, 0, 1)})
    await until(lambda: P0 in broker.paused)
    revoking = asyncio.create_task(broker.listener.on_partitions_revoked({P0, P1}))
    await until(lambda: broker.listener._stopping)
    gates[(0, 0)].set()
    await revoking
    assert handled == [(0, 0)]
    assert broker.committed == {P0: 1}


async def test_what_outlived_its_partition_commits_nothing_not_even_as_another_is_handed_over(start, broker, until):
    gates, ended = {0: asyncio.Event(), 1: asyncio.Event()}, []

    async def consume(delivery):
        while not gates[delivery.partition].is_set():
            try:
                await gates[delivery.partition].wait()
            except asyncio.CancelledError:  # as a thread does
                if delivery.partition:
                    raise
        ended.append(delivery.partition)

    start(consume)
    broker.batches.put_nowait({P0: records(P0, 0)})
    await until(lambda: P0 in broker.paused)
    await broker.listener.on_partitions_revoked({P0, P1})
    await broker.listener.on_partitions_assigned({P1})
    broker.batches.put_nowait({P1: records(P1, 5)})
    await until(lambda: P1 in broker.paused)
    revoking = asyncio.create_task(broker.listener.on_partitions_revoked({P1}))
    await until(lambda: broker.listener._stopping)
    gates[0].set()
    await until(lambda: ended == [0])
    gates[1].set()
    await revoking
    assert P0 not in broker.committed


async def test_what_is_handed_over_in_the_middle_of_a_rebalance_is_neither_begun_nor_skipped(
    start, broker, handle, handled, until
):
    broker.assigns_on_subscribe = False
    start(handle)
    broker.batches.put_nowait({P0: records(P0, 7, 8)})
    await until(lambda: broker.sought == [(P0, 7)])
    await broker.listener.on_partitions_assigned({P0, P1})
    broker.batches.put_nowait({P0: records(P0, 7, 8)})
    await until(lambda: handled == [(0, 7), (0, 8)])


@pytest.mark.parametrize("error", [KafkaError("broken"), OSError("broken")])
async def test_a_client_that_breaks_is_replaced(start, broker, handle, until, error):
    start(handle)
    broker.batches.put_nowait(error)
    broker.batches.put_nowait({P0: records(P0, 0)})
    await until(lambda: broker.committed.get(P0) == 1)
    assert (broker.started, broker.stopped) == (2, 1)


async def test_a_broker_that_is_not_there_yet_is_tried_again(start, broker, handle, until):
    broker.errors = [KafkaConnectionError(), KafkaConnectionError()]
    consumer = start(handle)
    await until(lambda: consumer.assigned)
    assert broker.started == 3


async def test_asked_to_stop_it_finishes_what_is_in_hand_commits_and_leaves(
    *, start, broker, handle, handled, gates, until
):
    gates[(0, 0)] = asyncio.Event()
    consumer = start(handle)
    broker.batches.put_nowait({P0: records(P0, 0, 1)})
    await until(lambda: P0 in broker.paused)
    consumer.task.cancel()
    await until(lambda: consumer._session._stopping)
    gates[(0, 0)].set()
    await asyncio.wait([consumer.task])
    assert handled == [(0, 0)]
    assert broker.committed == {P0: 1}
    assert broker.stopped == 1


async def test_asked_to_stop_it_abandons_what_does_not_end(*, start, broker, handle, handled, gates, until):
    gates[(0, 0)] = asyncio.Event()
    consumer = start(handle)
    broker.batches.put_nowait({P0: records(P0, 0, 1)})
    await until(lambda: P0 in broker.paused)
    consumer.task.cancel()
    await asyncio.wait([consumer.task])
    assert handled == []
    assert broker.committed == {}
    assert broker.stopped == 1


async def test_the_lag_is_from_what_is_finished_not_from_what_is_fetched(
    *, start, broker, handle, gates, until, metrics, monkeypatch
):
    monkeypatch.setattr(consumers, "_LAG_SECONDS", 0.001)
    gates[(0, 0)] = gates[(0, 1)] = asyncio.Event()
    start(handle)
    broker.batches.put_nowait({P0: records(P0, 0, 1)})

    def lag(partition):
        return metrics._registry.get_sample_value("lag_records", {"topic": "essays", "partition": str(partition)})

    await until(lambda: lag(0) == 10)  # in work, and not done
    assert lag(1) == 6  # nothing was handed over: from where the group stands
    gates[(0, 0)].set()
    await until(lambda: lag(0) == 8)
    await broker.listener.on_partitions_revoked({P0, P1})
    assert metrics._registry.get_sample_value("deliveries_total", {"topic": "essays"}) == 2


async def test_nothing_is_handled_before_it_is_noted_what_is_held(*, start, broker, handle, handled, suspects, until):
    suspects.there.clear()
    start(handle)
    await until(lambda: broker.listener)
    await broker.listener.on_partitions_assigned({P0, P1})
    broker.batches.put_nowait({P0: records(P0, 0)})
    await until(lambda: P0 in broker.paused)
    assert handled == []
    suspects.there.set()
    await until(lambda: handled == [(0, 0)])
    assert suspects.held == [[("essays", 0), ("essays", 1)]]


async def test_what_is_held_is_let_go_of_when_it_is_taken_away_and_at_the_end(
    *, start, broker, handle, suspects, until
):
    consumer = start(handle)
    await until(lambda: broker.listener)
    await broker.listener.on_partitions_assigned({P0, P1})
    await broker.listener.on_partitions_revoked({P0, P1})
    assert suspects.let_go_of == 1
    await broker.listener.on_partitions_assigned({P0, P1})
    consumer.task.cancel()
    await asyncio.wait([consumer.task])
    assert suspects.let_go_of == 2


async def test_a_database_that_is_away_does_not_keep_it_from_leaving(*, start, broker, handle, suspects, until):
    suspects.there.clear()
    consumer = start(handle)
    await until(lambda: broker.listener)
    await broker.listener.on_partitions_assigned({P0, P1})
    consumer.task.cancel()
    await asyncio.wait([consumer.task])
    assert broker.stopped == 1


@pytest.mark.parametrize("part", ["_commit_progress", "_watch_lag", "_work"])
async def test_a_part_that_dies_ends_the_session_and_another_begins(
    *, start, broker, handle, until, part, monkeypatch
):
    real, deaths = getattr(consumers._Session, part), [ZeroDivisionError()]

    async def dies(*arguments):
        if deaths:
            raise deaths.pop()
        await real(*arguments)

    monkeypatch.setattr(consumers._Session, part, dies)
    start(handle)
    await until(lambda: broker.started)
    broker.batches.put_nowait({P0: records(P0, 0)})
    await until(lambda: broker.started == 2)
    broker.batches.put_nowait({P0: records(P0, 0)})
    await until(lambda: broker.committed.get(P0) == 1)


async def test_after_a_record_that_the_client_cannot_decode_the_next_session_reads_leniently(
    start, broker, handle, until, monkeypatch
):
    lenient = []
    monkeypatch.setattr(consumers, "read_leniently", lambda: lenient.append(broker.started))
    start(handle)
    broker.batches.put_nowait(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"))
    broker.batches.put_nowait({P0: records(P0, 0)})
    await until(lambda: broker.committed.get(P0) == 1)
    assert lenient == [1]


@pytest.fixture
async def catch_up(start, handle, until, monkeypatch):
    """Waits until a consumer has caught up; whether it has."""
    monkeypatch.setattr(consumers, "_LAG_SECONDS", 0.005)
    consumer = start(handle)
    await until(lambda: consumer.assigned)
    waiting = asyncio.create_task(consumer.catch_up())

    async def done():
        await asyncio.sleep(0.05)
        return waiting.done()

    yield done
    waiting.cancel()


async def test_it_has_caught_up_once_all_partitions_are_committed_whoever_has_them(broker, catch_up):
    assert not await catch_up()
    broker.committed[P0] = 10
    assert not await catch_up()
    broker.committed[P1] = 9
    assert not await catch_up()
    broker.ends = {P0: 20, P1: 20}  # what comes later is not waited for
    broker.committed[P1] = 10
    assert await catch_up()


async def test_what_a_topic_does_not_keep_any_more_is_not_waited_for(broker, catch_up):
    broker.committed[P0] = 10
    broker.begins[P1] = 10
    assert await catch_up()


async def test_a_consumer_without_its_partitions_has_not_caught_up(start, broker, handle, until):
    broker.assigns_on_subscribe = False
    consumer = start(handle)
    await until(lambda: broker.listener)
    with pytest.raises(KafkaUnavailable):
        await consumer.catch_up()


async def test_nor_has_one_whose_broker_does_not_answer(start, broker, handle, until, monkeypatch):
    async def away(_client, _partitions):
        raise KafkaConnectionError

    consumer = start(handle)
    await until(lambda: consumer.assigned)
    monkeypatch.setattr(Client, "end_offsets", away)
    with pytest.raises(KafkaUnavailable):
        await consumer.catch_up()
