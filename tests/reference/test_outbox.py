from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.exc import OperationalError

from reference_impl.service_libs.errors import KafkaRefused, KafkaUnavailable
from reference_impl.service_libs.outbox import Outbox, Relay
from reference_impl.service_libs.settings import OutboxSettings


@pytest.fixture
def leave(database, the_outbox):
    async def add(*events):
        async with database.transaction() as transaction:
            for key, value in events:
                await the_outbox.add(transaction, "essays", key, value)

    return add


@pytest.fixture
async def other_relay(open_database, bus, clock, backoff, metrics):
    """Another replica's, with its own connections to the same database."""
    from random import Random

    database = open_database()
    await database.start()
    return Relay(OutboxSettings(), database, Outbox(database), bus, clock, backoff, Random(77), metrics)


async def test_what_is_left_is_published_once(leave, relay, bus):
    await leave(("k", b"1"))
    assert await relay.publish_unsent() == 1
    assert await relay.publish_unsent() == 0
    assert bus.published == [("essays", "k", b"1")]


async def test_what_is_rolled_back_is_not_published(database, the_outbox, relay, bus):
    async def leave_and_fail():
        async with database.transaction() as transaction:
            await the_outbox.add(transaction, "essays", "k", b"1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await leave_and_fail()
    await relay.publish_unsent()
    assert bus.published == []


async def test_the_order_of_one_key_is_kept(leave, relay, bus):
    await leave(*((f"k{n % 3}", str(n).encode()) for n in range(30)))
    await relay.publish_unsent()
    for key in ("k0", "k1", "k2"):
        values = [int(value) for _, found, value in bus.published if found == key]
        assert values == sorted(values)
        assert len(values) == 10


async def test_after_a_refusal_the_same_key_waits_and_others_go_on(leave, relay, bus):
    await leave(("a", b"1"), ("a", b"2"), ("b", b"3"))
    bus.refuse = lambda _key, value: value == b"1"
    with pytest.raises(KafkaUnavailable):
        await relay.publish_unsent()
    assert bus.published == [("essays", "b", b"3")]
    bus.refuse = lambda _key, _value: False
    await relay.publish_unsent()
    assert [value for _, _, value in bus.published] == [b"3", b"1", b"2"]


async def test_a_relay_that_dies_between_acknowledgement_and_mark_publishes_twice_and_loses_nothing(
    leave, relay, bus, database, monkeypatch
):
    await leave(("k", b"1"), ("k", b"2"))
    await relay._is_our_turn()
    real = database.transaction
    monkeypatch.setattr(database, "transaction", _dies)
    with pytest.raises(OperationalError):
        await relay.publish_unsent()
    monkeypatch.setattr(database, "transaction", real)
    await relay.publish_unsent()
    assert [value for _, _, value in bus.published] == [b"1", b"2", b"1", b"2"]
    assert await relay.publish_unsent() == 0


def _dies():
    raise OperationalError("COMMIT", {}, Exception("killed"))


async def test_a_row_that_commits_after_a_later_id_is_not_forgotten(leave, relay, bus, rows, database):
    """Ids are given out in another order than commits happen: a cursor would pass over the hole."""
    await leave(("k", b"later"))
    async with database.transaction() as transaction:
        await transaction.exec_driver_sql("UPDATE outbox SET entry = 10")
    await relay.publish_unsent()
    async with database.transaction() as transaction:
        await transaction.exec_driver_sql(
            "INSERT INTO outbox (entry, topic, key, value) VALUES (5, 'essays', 'k', 'x')"
        )
    await relay.publish_unsent()
    assert len(bus.published) == 2


async def test_two_relays_take_turns(leave, relay, other_relay, bus, clock):
    await leave(("k", b"1"))
    assert await relay.publish_unsent() == 1
    await leave(("k", b"2"))
    assert await other_relay.publish_unsent() == 0  # not its turn
    clock.pass_seconds(OutboxSettings().relay_turn_seconds + 1)
    assert await other_relay.publish_unsent() == 1  # the first one seems dead
    assert [value for _, _, value in bus.published] == [b"1", b"2"]


async def test_it_publishes_at_once_what_its_process_adds(leave, relay, bus, until):
    relay.settings = OutboxSettings(relay_poll_seconds=1000)
    task = asyncio.create_task(relay.run())
    await leave(("k", b"1"))
    await until(lambda: bus.published)
    await leave(("k", b"2"))
    await until(lambda: len(bus.published) == 2)
    task.cancel()
    await asyncio.wait([task])


async def test_it_goes_on_after_an_outage(leave, relay, bus, until):
    bus.refuse = lambda _key, _value: True
    task = asyncio.create_task(relay.run())
    await leave(("k", b"1"))
    await asyncio.sleep(0.05)
    assert bus.published == []
    bus.refuse = lambda _key, _value: False
    await until(lambda: bus.published)
    task.cancel()
    await asyncio.wait([task])


async def test_what_is_refused_for_good_is_kept_counted_and_holds_nothing_up(
    *, leave, relay, bus, rows, metrics, monkeypatch
):
    real = bus.publish

    async def publish(topic, key, value):
        if len(value) > 5:
            raise KafkaRefused("too large")
        await real(topic, key, value)

    monkeypatch.setattr(bus, "publish", publish)
    await leave(("a", b"far too large"), ("a", b"2"), ("b", b"3"))
    await relay.publish_unsent()
    assert sorted(value for _, _, value in bus.published) == [b"2", b"3"]
    assert await relay.publish_unsent() == 0
    assert await rows("SELECT value, sent_at, refused FROM outbox WHERE refused IS NOT NULL") == [
        (b"far too large", None, "too large")
    ]
    assert metrics._registry.get_sample_value("outbox_refused_total") == 1


async def test_it_connects_anew_also_with_nothing_to_send(relay, bus, until, monkeypatch):
    starts = []

    async def start():
        starts.append(1)

    monkeypatch.setattr(bus, "start", start)
    relay.settings = OutboxSettings(relay_poll_seconds=0.001)
    task = asyncio.create_task(relay.run())
    await until(lambda: len(starts) > 2)
    task.cancel()
    await asyncio.wait([task])
