"""A producer whose transactions are committed, aborted and fenced: what nobody may read is no event, and holds up nothing."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerFenced

from harness.clients.http import HttpClient
from harness.clients.kafka import KafkaClient
from harness.errors import StackError
from harness.history.recorder import HistoryRecorder
from harness.observers.forms import Reach
from harness.observers.watch import Watch
from harness.stack import RunNames
from harness.system import System

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAMES = RunNames("transactions")
ORDERS = NAMES.topic("orders")
SYSTEM = System.model_validate(
    {
        "oneffect": 1,
        "name": "transactional",
        "dependencies": {"kafka": {"topics": {"orders": 2}}},
        "services": {"ledger": {"command": "ledger", "env": {"KAFKA": "{kafka}"}}},
        "load": {"upload": {"to": "ledger", "post": "/"}},
        "events": {"id": "/id", "type": "/type", "data": None, "topics": ["orders"]},
        "effects": {
            "ledger": {"applies": ["placed"], "sql": {"url": "sqlite:///{data}/db", "query": "SELECT * FROM entries"}}
        },
        "settle": "10ms",
    }
)
FIRST_TWO = 4
EVENTS = {"committed-0", "committed-1", "behind-an-open-one", "last-0", "last-1"}
HEADER = {"run": "transactions", "plan": {}, "plan_digest": "", "seed": 1, "versions": {}, "started": ""}


async def door(address: str, identity: str | None) -> AIOKafkaProducer:
    """A started producer, transactional if it has an identity."""
    producer = AIOKafkaProducer(bootstrap_servers=address, transactional_id=identity, linger_ms=0)
    await producer.start()
    return producer


async def place(producer: AIOKafkaProducer, order: str, partition: int) -> None:
    """Publish an event; it is on the topic when this returns, whatever becomes of the transaction."""
    value = json.dumps({"id": order, "type": "placed"}).encode()
    await producer.send_and_wait(ORDERS, value, partition=partition)


@dataclass(frozen=True)
class Orders:
    """The harness's client of the broker, and the end of partition 1 while a transaction was open there."""

    kafka: KafkaClient
    end_meanwhile: int


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def orders(rig: Any) -> AsyncIterator[Orders]:
    """The topic ends, on both partitions, with the marker of a transaction."""
    address = rig.stack.direct("kafka")
    kafka = KafkaClient(address, NAMES)
    await kafka.start()
    await kafka.create_topics(SYSTEM.topics())
    plain, first = await door(address, None), await door(address, "door-transactions")
    async with first.transaction():
        for partition in (0, 1):
            await place(first, f"committed-{partition}", partition)
    await first.begin_transaction()
    for partition in (0, 1):
        await place(first, f"aborted-{partition}", partition)
    await first.abort_transaction()
    await first.begin_transaction()
    await place(first, "fenced", 1)
    await place(plain, "behind-an-open-one", 1)
    meanwhile = await kafka.ends(SYSTEM.topics())
    with pytest.raises(StackError, match="a transaction is open on orders:1 from offset"):
        await kafka.require_settled(SYSTEM.topics())
    second = await door(address, "door-transactions")
    with pytest.raises(ProducerFenced):
        await first.commit_transaction()
    async with second.transaction():
        for partition in (0, 1):
            await place(second, f"last-{partition}", partition)
    await kafka.require_settled(SYSTEM.topics())
    for producer in (plain, first, second):
        await producer.stop()
    yield Orders(kafka, meanwhile["orders", 1])
    await kafka.stop()


async def apply(address: str, database: Path) -> None:
    """What the ledger does: an entry for each event, and the offset behind it, which is before the last marker."""
    ledger = AIOKafkaConsumer(
        ORDERS,
        bootstrap_servers=address,
        group_id=NAMES.group("ledger"),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    await ledger.start()
    try:
        applied: set[str] = set()
        while applied != EVENTS:
            record = await ledger.getone()
            event = json.loads(record.value)["id"]
            assert event in EVENTS
            applied.add(event)
            with closing(sqlite3.connect(database)) as entries, entries:
                entries.execute("INSERT INTO entries VALUES (?, ?)", (event, f"{record.partition}:{record.offset}"))
            await ledger.commit({TopicPartition(ORDERS, record.partition): record.offset + 1})
    finally:
        await ledger.stop()


async def held_up(watch: Watch, address: str, database: Path) -> None:
    """While a transaction is open nothing is at rest, and the topics cannot be read to their end: it may hide events."""
    assert not await watch.hidden()
    open_one = await door(address, "door-open")
    await open_one.begin_transaction()
    await place(open_one, "never", 1)
    assert "a transaction is open on orders:1" in await watch.hidden()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.observers.watch.TRIES", 1)
        await watch.read_all()
    await open_one.abort_transaction()
    await open_one.stop()
    assert not await watch.hidden()


def rows(history: Path, op: str, phase: str = "seen") -> list[dict[str, Any]]:
    records = [json.loads(line) for line in history.read_text().splitlines()[1:]]
    return [one for one in records if (one["op"], one["phase"]) == (op, phase)]


async def test_what_is_behind_an_open_transaction_waits(orders: Orders) -> None:
    assert orders.end_meanwhile == FIRST_TWO, "one record and one marker of each of the first two transactions"


async def test_a_consumer_that_passed_every_event_is_done(orders: Orders, rig: Any, tmp_path: Path) -> None:
    database = tmp_path / "db"
    with closing(sqlite3.connect(database)) as entries, entries:
        entries.execute("CREATE TABLE entries (id TEXT, effect TEXT)")
    history = tmp_path / "history.jsonl"
    recorder = HistoryRecorder(history, HEADER, clock=time.monotonic_ns)
    http = HttpClient()
    watch = Watch(SYSTEM, recorder, kafka=orders.kafka, http=http, names=NAMES)
    try:
        await watch.open(Reach(lambda *_: f"sqlite:///{database}"), None)
        await watch.look()
        assert not watch.activity.idle(), "nothing was applied yet"
        await apply(rig.stack.direct("kafka"), database)
        await watch.look()
        assert watch.activity.idle(), "markers are no records, and no backlog"
        await watch.read_all()
        # What it is that must not be taken for a backlog.
        committed, ends = await orders.kafka.committed("ledger"), await orders.kafka.ends(SYSTEM.topics())
        assert {at: ends[at] - committed[at] for at in ends} == {("orders", 0): 1, ("orders", 1): 1}
        await held_up(watch, rig.stack.direct("kafka"), database)
    finally:
        await watch.close()
        await http.close()
        recorder.close()
    events = rows(history, "event")
    assert {one["event_id"] for one in events} == EVENTS
    assert len(events) == len(EVENTS)
    (hidden,) = rows(history, "read", "fail")
    assert hidden["what"] == "topics"
    assert "a transaction is open on orders:1 from offset" in hidden["error"]
    assert {one["event_id"] for one in rows(history, "effect")} == EVENTS


async def test_the_last_records_of_a_topic_are_those_that_can_be_read(orders: Orders) -> None:
    """A fault publishes them again: what was aborted would come to life. Half of the offsets are no records."""
    for count in (len(EVENTS), 50):
        found = await orders.kafka.tail("orders", count)
        assert {json.loads(one.value or b"")["id"] for one in found} == EVENTS


async def test_offsets_without_a_record_are_not_counted_as_work(orders: Orders) -> None:
    ends = await orders.kafka.ends(SYSTEM.topics())
    found = await orders.kafka.records(dict.fromkeys(ends, 0), ends)
    assert sum(found.values()) == len(EVENTS) < sum(ends.values())
    assert await orders.kafka.records({at: end - 1 for at, end in ends.items()}, ends) == dict.fromkeys(ends, 0)
