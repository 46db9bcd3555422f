from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from reference_impl.service_libs.errors import KafkaRefused, KafkaUnavailable
from reference_impl.service_libs.outbox import OUTBOX, Outbox, Relay
from reference_impl.service_libs.settings import OutboxSettings


@pytest.fixture
def leave(database, the_outbox):
    async def add(*events, topic="essays"):
        def work(transaction):
            for key, value in events:
                the_outbox.add(transaction, topic, key, value)

        await database.write(work)

    return add


@pytest.fixture
def publish(relay, bus):
    """Has a relay publish what there is, once; how many records that was."""

    async def once(which=relay):
        before = len(bus.published)
        await which.publish_unsent()
        while which._busy:
            await asyncio.wait(which._busy.values())
        return len(bus.published) - before

    return once


@pytest.fixture
async def running(relay):
    """The relay, at work until the test ends; it polls no more, so it goes by what it is told."""
    relay.settings = OutboxSettings(relay_poll_seconds=1000)
    task = asyncio.create_task(relay.run())
    yield task
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture
async def other_relay(open_database, bus, clock, backoff, metrics):
    """Another replica's, with its own connections to the same database."""
    database = open_database()
    await database.start()
    return Relay(OutboxSettings(), database, Outbox(database), bus, clock, backoff, Random(77), metrics)


async def test_what_is_left_is_published_once(leave, publish, bus):
    await leave(("k", b"1"))
    assert await publish() == 1
    assert await publish() == 0
    assert bus.published == [("essays", "k", b"1")]


async def test_what_is_rolled_back_is_not_published(database, the_outbox, publish):
    def leave_and_fail(transaction):
        the_outbox.add(transaction, "essays", "k", b"1")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(leave_and_fail)
    assert await publish() == 0


async def test_the_order_of_one_key_is_kept(leave, publish, bus):
    await leave(*((f"k{n % 3}", str(n).encode()) for n in range(30)))
    await publish()
    for key in ("k0", "k1", "k2"):
        values = [int(value) for _, found, value in bus.published if found == key]
        assert values == sorted(values)
        assert len(values) == 10


async def test_after_a_refusal_the_same_key_waits_and_others_go_on(leave, publish, bus):
    await leave(("a", b"1"), ("a", b"2"), ("b", b"3"))
    bus.refuse = lambda _key, value: value == b"1"
    await publish()
    assert bus.published == [("essays", "b", b"3")]
    bus.refuse = lambda _key, _value: False
    await publish()
    assert [value for _, _, value in bus.published] == [b"3", b"1", b"2"]


async def test_a_relay_that_dies_between_acknowledgement_and_mark_publishes_twice_and_loses_nothing(
    *, leave, relay, publish, bus, database, monkeypatch
):
    await leave(("k", b"1"), ("k", b"2"))
    await relay._is_our_turn()

    async def dies(_work):
        raise OperationalError("COMMIT", {}, Exception("killed"))

    with monkeypatch.context() as patched:
        patched.setattr(database, "write", dies)
        await publish()
    await publish()
    assert [value for _, _, value in bus.published] == [b"1", b"2", b"1", b"2"]
    assert await publish() == 0


async def test_a_row_that_commits_after_a_later_id_is_not_forgotten(leave, publish, bus, database):
    """Ids are given out in another order than commits happen: a cursor would pass over the hole."""
    await leave(("k", b"later"))
    await database.write(lambda transaction: transaction.exec_driver_sql("UPDATE outbox SET entry = 10"))
    await publish()
    earlier = "INSERT INTO outbox (entry, topic, key, value) VALUES (5, 'essays', 'k', 'x')"
    await database.write(lambda transaction: transaction.exec_driver_sql(earlier))
    await publish()
    assert len(bus.published) == 2


async def test_two_relays_take_turns(leave, publish, other_relay, bus, clock):
    await leave(("k", b"1"))
    assert await publish() == 1
    await leave(("k", b"2"))
    assert await publish(other_relay) == 0  # not its turn
    clock.pass_seconds(OutboxSettings().relay_turn_seconds + 1)
    assert await publish(other_relay) == 1  # the first one seems dead
    assert [value for _, _, value in bus.published] == [b"1", b"2"]


async def test_a_turn_taken_before_the_clock_stepped_back_is_over(leave, publish, other_relay, clock):
    await leave(("k", b"1"))
    assert await publish() == 1
    clock.time -= timedelta(minutes=30)
    await leave(("k", b"2"))
    assert await publish(other_relay) == 1


async def test_a_replica_whose_clock_is_behind_does_not_take_a_fresh_turn(leave, publish, other_relay, clock):
    await leave(("k", b"1"))
    assert await publish() == 1
    clock.time -= timedelta(seconds=OutboxSettings().relay_turn_seconds / 2)
    await leave(("k", b"2"))
    assert await publish(other_relay) == 0


async def test_a_relay_does_not_take_its_own_turn_for_one_that_lasts_when_the_clock_stepped_back(
    leave, publish, relay, other_relay, clock
):
    await leave(("k", b"1"))
    assert await publish() == 1
    clock.time -= timedelta(minutes=30)
    await leave(("k", b"2"))
    assert await publish(other_relay) == 1
    await leave(("k", b"3"))
    assert await publish(relay) == 0  # it has looked, and the turn is the other's
    assert await publish(other_relay) == 1


async def test_it_publishes_at_once_what_its_process_adds(leave, running, bus, until):
    await leave(("k", b"1"))
    await until(lambda: bus.published)
    await leave(("k", b"2"))
    await until(lambda: len(bus.published) == 2)


async def test_more_than_a_batch_leaves_at_once(leave, relay, bus, until):
    relay.settings = OutboxSettings(relay_poll_seconds=1000, relay_batch=3)
    task = asyncio.create_task(relay.run())
    await leave(*(("k", str(n).encode()) for n in range(20)))
    await until(lambda: len(bus.published) == 20)
    assert [int(value) for _, _, value in bus.published] == list(range(20))
    task.cancel()
    await asyncio.wait([task])


async def test_it_goes_on_after_an_outage(leave, relay, running, bus, until):
    bus.refuse = lambda _key, _value: True
    await leave(("k", b"1"))
    await until(lambda: relay._failures["essays"] > 2)
    assert bus.published == []
    bus.refuse = lambda _key, _value: False
    await until(lambda: bus.published)
    await until(lambda: "essays" not in relay._failures)


@pytest.fixture
def break_topic(bus, monkeypatch):
    """Has what is published to a topic wait in ``how``, until the function that is given back is called."""

    def of(topic, how):
        real = bus.publish

        async def publish(to, key, value):
            if to == topic:
                await how()
            await real(to, key, value)

        monkeypatch.setattr(bus, "publish", publish)
        return lambda: monkeypatch.setattr(bus, "publish", real)

    return of


async def hang():
    await asyncio.Event().wait()


async def raise_unavailable():
    raise KafkaUnavailable("no leader")


async def raise_unexpected():
    raise ZeroDivisionError


@pytest.mark.parametrize("how", [hang, raise_unavailable, raise_unexpected])
async def test_a_topic_that_cannot_be_written_holds_up_no_other(*, leave, relay, bus, until, break_topic, how):
    relay.settings = OutboxSettings(relay_poll_seconds=1000, relay_batch=3)
    break_topic("bad", how)
    await leave(*(("k", str(n).encode()) for n in range(10)), topic="bad")
    task = asyncio.create_task(relay.run())
    await until(lambda: "bad" in relay._busy)
    for number in range(3):
        await leave(*((f"k{n % 2}", str(n).encode()) for n in range(10)), topic="essays")
        await until(lambda sent=10 * (number + 1): len(bus.published) == sent)
    for key in ("k0", "k1"):
        values = [int(value) for _, found, value in bus.published if found == key]
        assert values == [n for n in range(10) if n % 2 == int(key[1])] * 3
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("how", [raise_unavailable, raise_unexpected])
async def test_a_topic_that_can_be_written_again_has_kept_its_order(
    *, leave, running, relay, bus, until, break_topic, how
):
    mend = break_topic("bad", how)
    await leave(*(("k", str(n).encode()) for n in range(10)), topic="bad")
    await until(lambda: relay._failures["bad"] > 2)
    mend()
    await until(lambda: len(bus.published) == 10)
    assert [int(value) for _, _, value in bus.published] == list(range(10))


async def test_an_unexpected_error_at_one_key_costs_the_others_neither_their_mark_nor_their_order(
    leave, publish, bus, monkeypatch
):
    real, going, begun = bus.publish, asyncio.Event(), []

    async def fails_at_one(topic, key, value):
        begun.append(value)
        if key == "bad":
            going.set()
            raise ZeroDivisionError
        await going.wait()
        await asyncio.sleep(0)
        await real(topic, key, value)

    monkeypatch.setattr(bus, "publish", fails_at_one)
    await leave(("good", b"1"), ("bad", b"2"), ("good", b"3"))
    assert await publish() == 2
    assert begun == [b"1", b"2", b"3"]
    assert await publish() == 0, "what was acknowledged is marked"


async def test_a_relay_that_was_cut_off_in_the_middle_can_run_again(leave, relay, bus, until, break_topic):
    relay.settings = OutboxSettings(relay_poll_seconds=1000)
    mend = break_topic("essays", hang)
    await leave(("k", b"1"))
    for _ in range(2):
        task = asyncio.create_task(relay.run())
        await until(lambda: "essays" in relay._busy)
        task.cancel()
        await asyncio.wait([task])
        assert relay._busy == {}
    mend()
    task = asyncio.create_task(relay.run())
    await until(lambda: bus.published)
    task.cancel()
    await asyncio.wait([task])


async def test_what_is_refused_for_good_is_kept_counted_and_holds_nothing_up(
    *, leave, publish, bus, rows, metrics, monkeypatch
):
    real = bus.publish

    async def refuse(topic, key, value):
        if len(value) > 5:
            raise KafkaRefused("too large")
        await real(topic, key, value)

    monkeypatch.setattr(bus, "publish", refuse)
    await leave(("a", b"far too large"), ("a", b"2"), ("b", b"3"))
    await publish()
    assert sorted(value for _, _, value in bus.published) == [b"2", b"3"]
    assert await publish() == 0
    assert await rows("SELECT value, sent_at, refused FROM outbox WHERE refused IS NOT NULL") == [
        (b"far too large", None, "too large")
    ]
    assert metrics._registry.get_sample_value("outbox_refused_total") == 1


@pytest.fixture
def be_old(clock):
    """Lets everything that was left so far be as old as the relay's memory is long, but for some hours."""

    def older(hours_left):
        now = datetime.now(UTC)
        clock.time = now + timedelta(hours=OutboxSettings().retention_hours - hours_left)

    return older


async def test_what_may_have_been_published_longer_ago_than_consumers_remember_is_refused(
    *, leave, publish, relay, bus, rows, metrics, database, monkeypatch, be_old
):
    """Killed between the acknowledgement and its mark, and off for two weeks; what came since goes out."""
    await leave(("k", b"1"))
    assert await relay._is_our_turn()

    async def dies(_work):
        raise OperationalError("COMMIT", {}, Exception("killed"))

    with monkeypatch.context() as patched:
        patched.setattr(database, "write", dies)
        assert await publish() == 1
    be_old(0.5)
    await leave(("k", b"2"), ("j", b"3"))
    await database.write(
        lambda tx: tx.execute(update(OUTBOX).where(OUTBOX.c.value != b"1").values(added_at=relay.clock.now()))
    )
    assert await publish() == 2
    assert await publish() == 0
    assert sorted(value for _, _, value in bus.published) == [b"1", b"2", b"3"]
    ((value, sent_at, refused),) = await rows("SELECT value, sent_at, refused FROM outbox WHERE refused IS NOT NULL")
    assert (value, sent_at) == (b"1", None)
    assert "RETENTION_HOURS" in refused
    assert metrics._registry.get_sample_value("outbox_refused_total") == 1


async def test_what_is_not_as_old_or_of_unknown_age_is_published(leave, publish, database, be_old):
    await leave(("k", b"1"))
    be_old(1.5)
    assert await publish() == 1
    await leave(("k", b"2"))
    await database.write(lambda transaction: transaction.execute(update(OUTBOX).values(added_at=None)))
    be_old(-1000)
    assert await publish() == 1


@pytest.fixture
def batches(bus, monkeypatch):
    """Records that are under way together are one batch, which the broker takes or refuses whole; at most five bytes."""
    real, under_way = bus.publish, []

    async def publish(topic, key, value):
        under_way.append(value)
        await asyncio.sleep(0)
        refused = sum(map(len, under_way)) > 5
        await asyncio.sleep(0)
        under_way.remove(value)
        if refused:
            raise KafkaRefused("too large")
        await real(topic, key, value)

    monkeypatch.setattr(bus, "publish", publish)


async def test_a_row_that_shared_a_batch_with_one_too_large_is_published(
    *, leave, publish, bus, batches, rows, metrics
):
    await leave(("a", b"far too large"), ("b", b"1"), ("a", b"2"), ("c", b"3"), ("b", b"4"))
    assert await publish() == 4
    assert [value for _, key, value in bus.published if key == "b"] == [b"1", b"4"]
    assert await publish() == 0
    assert await rows("SELECT value FROM outbox WHERE refused IS NOT NULL") == [(b"far too large",)]
    assert metrics._registry.get_sample_value("outbox_refused_total") == 1


async def test_rows_that_are_too_large_only_together_are_published(leave, publish, batches, rows):
    await leave(*((f"k{n}", b"1") for n in range(10)))
    assert await publish() == 10
    assert await rows("SELECT value FROM outbox WHERE refused IS NOT NULL") == []


@pytest.fixture
def refused_together(bus, monkeypatch):
    """The first row of the key ``late`` is refused once; from then on rows of that key wait in ``how``."""
    real, tried = bus.publish, []

    def then(how):
        async def publish(topic, key, value):
            if key == "late":
                if not tried:
                    tried.append(value)
                    raise KafkaRefused("too large")
                await how()
            await real(topic, key, value)

        monkeypatch.setattr(bus, "publish", publish)

    return then


async def test_what_is_acknowledged_is_marked_before_a_refused_row_is_tried_again(
    *, leave, relay, publish, bus, until, refused_together
):
    trying = asyncio.Event()

    async def wait():
        trying.set()
        await hang()

    refused_together(wait)
    await leave(("a", b"1"), ("late", b"2"), ("b", b"3"))
    task = asyncio.create_task(relay.run())
    await asyncio.wait_for(trying.wait(), 10)
    task.cancel()
    await asyncio.wait([task])
    refused_together(lambda: asyncio.sleep(0))
    assert await publish() == 1
    assert sorted(bus.published) == [("essays", "a", b"1"), ("essays", "b", b"3"), ("essays", "late", b"2")]


async def test_a_refused_row_is_not_tried_again_in_another_relays_turn(
    *, leave, publish, other_relay, bus, clock, refused_together
):
    """The first attempt alone lasts longer than the turn, and the other relay begins."""

    async def outlast_the_turn():
        clock.pass_seconds(OutboxSettings().relay_turn_seconds + 1)
        assert await other_relay._is_our_turn()
        refused_together(lambda: asyncio.sleep(0))

    refused_together(outlast_the_turn)
    await leave(("late", b"1"), ("late", b"2"), ("late", b"3"), ("a", b"4"))
    assert await publish() == 2
    assert await publish(other_relay) == 2
    assert sorted(value for _, _, value in bus.published) == [b"1", b"2", b"3", b"4"]


async def test_the_turn_is_renewed_while_refused_rows_are_tried_again(
    *, leave, publish, other_relay, bus, clock, refused_together
):
    async def take_long():
        clock.pass_seconds(OutboxSettings().relay_turn_seconds * 0.7)
        assert not await other_relay._is_our_turn()

    refused_together(take_long)
    await leave(*(("late", str(n).encode()) for n in range(5)))
    assert await publish() == 5


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
