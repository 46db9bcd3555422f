"""What ends the process is found out; each process is a ``Suspects`` of its own, and dies by never letting go."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count
from random import Random

import pytest

from reference_impl.common_core.events import UPLOAD_OUTCOMES
from reference_impl.service_libs import ledger
from reference_impl.service_libs.database import insert_if_absent
from reference_impl.service_libs.idempotency import idempotent_consumer
from reference_impl.service_libs.suspects import Suspects

P0, P1, P2 = (("essays", number) for number in range(3))
KILLS, INNOCENT = "kills", "innocent"
MOST = 3
EFFECTS = "SELECT event_id FROM effect_ledger"
NOTES = "SELECT * FROM suspect"


@pytest.fixture
def event(delivered):
    """A delivery of an event of that name, on a partition."""

    def make(name, partition, offset=0):
        data = next(iter(UPLOAD_OUTCOMES))(
            upload_id=name,
            batch_id=name,
            batch_size=1,
            file_name="a.txt",
            raw_file_storage_id="a" * 64,
            text_storage_id="b" * 64,
            extractor_version=2,
        )
        return replace(delivered(data, offset=offset), partition=partition[1])

    return make


class Process:
    """A consumer; its handler hangs on ``KILLS``, and then ``die`` is what a SIGKILL is."""

    def __init__(self, settings, idempotency, suspects) -> None:
        self.suspects = suspects
        self.in_work, self.most_in_work, self.prepared = 0, 0, []
        self.killed = asyncio.Event()
        self.deliveries = []

        @idempotent_consumer(
            replace(idempotency, suspects=suspects, settings=settings), consumer="c", accepts=UPLOAD_OUTCOMES
        )
        async def consume(message):
            name = message.event.data.upload_id
            self.prepared.append(name)
            self.in_work += 1
            self.most_in_work = max(self.most_in_work, self.in_work)
            await asyncio.sleep(0.05)  # no wait for anything: it makes those that may be in work at once overlap
            if name == KILLS:
                self.killed.set()
                await asyncio.Event().wait()
            self.in_work -= 1
            return lambda transaction: ledger.record(transaction, message, name)

        self._consume = consume

    def deliver(self, *deliveries):
        """Each partition's deliveries one after the other, partitions beside each other."""

        async def in_order(some):
            for delivery in some:
                await self._consume(delivery)

        by_partition = {}
        for delivery in deliveries:
            by_partition.setdefault(delivery.partition, []).append(delivery)
        self.deliveries += [asyncio.create_task(in_order(some)) for some in by_partition.values()]

    async def end(self):
        async with asyncio.timeout(30):
            await asyncio.gather(*self.deliveries)

    async def die(self):
        """End without a word: nothing more reaches the database."""
        await self.killed.wait()

        async def nothing(*_):
            await asyncio.Event().wait()

        self.suspects._database = type("Gone", (), {"write": nothing, "read": nothing})()
        for task in self.deliveries:
            task.cancel()
        for task in self.deliveries:
            await asyncio.wait([task], timeout=0.05)


@pytest.fixture
def process(consumer_settings, idempotency, database, backoff):
    """A new process that holds these partitions."""
    seeds = count(100)
    settings = consumer_settings.model_copy(update={"max_attempts": MOST})

    async def start(*partitions):
        suspects = Suspects(settings, database, backoff, Random(next(seeds)))
        await suspects.hold(partitions)
        return Process(settings, idempotency, suspects)

    return start


async def test_in_the_ordinary_way_nothing_is_noted(process, event, rows):
    ordinary = await process(P0, P1)
    ordinary.deliver(event("one", P0), event("two", P1))
    await ordinary.end()
    assert len(await rows(EFFECTS)) == 2
    assert await rows(NOTES) == []
    assert ordinary.most_in_work == 2
    await ordinary.suspects.let_go()
    assert await rows("SELECT * FROM holding") == []


async def test_what_ends_the_process_is_set_aside_and_what_was_beside_it_has_its_effect(
    process, event, rows, letters
):
    """Also though both were in hand each time that the process died."""
    for _ in range(MOST + 1):  # the first time nobody suspects anything
        dying = await process(P0, P1, P2)
        dying.deliver(event(KILLS, P0), event(INNOCENT, P1), event("another", P2))
        await dying.die()
    last = await process(P0, P1, P2)
    last.deliver(event(KILLS, P0), event(INNOCENT, P1), event("another", P2))
    await last.end()
    (letter,) = await letters()
    assert (letter["kind"], letter["attempts"]) == ("poison", MOST)
    assert "ended the process" in letter["reason"]
    assert KILLS not in last.prepared
    assert len(await rows(EFFECTS)) == 2
    assert await rows(NOTES) == []


async def test_suspects_are_handled_one_at_a_time_and_nothing_beside_them(process, event, rows):
    dying = await process(P0, P1)
    dying.deliver(event(KILLS, P0))
    await dying.die()
    careful = await process(P0, P1, P2)
    careful.deliver(*(event(f"{number}", partition) for number, partition in enumerate((P0, P1, P2))))
    await careful.end()
    assert careful.most_in_work == 1
    careful.deliver(*(event(f"{number}b", partition) for number, partition in enumerate((P0, P1, P2))))
    await careful.end()
    assert careful.most_in_work > 1  # the suspects are cleared
    assert len(await rows(EFFECTS)) == 6


async def test_what_is_only_delivered_again_clears_no_suspect(process, event, rows, letters, redis):
    """Its offset was not committed; it comes before the one that was in hand."""
    redis.down = True
    for _ in range(MOST + 1):
        dying = await process(P0)
        dying.deliver(event("before", P0), event(KILLS, P0, 1))
        await dying.die()
    last = await process(P0)
    last.deliver(event("before", P0), event(KILLS, P0, 1))
    await last.end()
    assert [letter["kind"] for letter in await letters()] == ["poison"]
    assert len(await rows(EFFECTS)) == 1


async def test_copies_in_work_at_once_do_not_count_one_another(process, event, rows, letters, redis):
    """As many processes as attempts, each careful, each with a copy: none of them has ended."""
    redis.down = True
    partitions = [("essays", number) for number in range(MOST * 3)]
    dead = await process(*partitions)
    dead.deliver(event(KILLS, partitions[0]))
    await dead.die()
    alive = [await process(partition) for partition in partitions]
    for one, partition in zip(alive, partitions, strict=True):
        one.deliver(event(INNOCENT, partition))
    await asyncio.gather(*(one.end() for one in alive))
    assert len(await rows(EFFECTS)) == 1
    assert await letters() == []


async def test_an_orderly_end_in_the_middle_of_a_suspect_does_not_count(process, event, rows, letters):
    dying = await process(P0)
    dying.deliver(event(KILLS, P0))
    await dying.die()
    for _ in range(MOST * 3):
        stopped = await process(P0)
        stopped.deliver(event(KILLS, P0))
        await stopped.killed.wait()
        for task in stopped.deliveries:
            task.cancel()
        await asyncio.wait(stopped.deliveries)
        assert await rows(NOTES) == []
    assert await letters() == []


async def test_a_session_of_the_same_process_that_could_not_let_go_is_no_end(process, event):
    one = await process(P0)
    await one.suspects.hold([P0, P1])
    assert one.suspects._doubtful == set()


async def test_an_outage_of_the_database_does_not_leave_a_note_behind(*, process, event, rows, database, monkeypatch):
    dying = await process(P0)
    dying.deliver(event(KILLS, P0))
    await dying.die()
    failures = [OSError("away") for _ in range(20)]
    real = database.write

    async def write(work):
        if failures and failures.pop():
            raise OSError("away")
        return await real(work)

    careful = await process(P0)
    monkeypatch.setattr(database, "write", write)
    careful.deliver(event(INNOCENT, P0))
    await careful.end()
    assert failures == []
    assert await rows(NOTES) == []
    assert len(await rows(EFFECTS)) == 1


async def test_who_is_stopped_while_a_suspect_is_noted_leaves_no_note(
    *, process, event, rows, database, monkeypatch, until
):
    dying = await process(P0)
    dying.deliver(event(KILLS, P0))
    await dying.die()
    careful = await process(P0)
    real, written = database.write, []

    async def write(work):
        done = await real(work)
        written.append(work)
        if len(written) == 1:
            await asyncio.Event().wait()  # the answer does not come
        return done

    monkeypatch.setattr(database, "write", write)
    careful.deliver(event(INNOCENT, P0))
    await until(lambda: written)
    assert len(await rows(NOTES)) == 1
    careful.deliveries[0].cancel()
    await asyncio.wait(careful.deliveries)
    assert await rows(NOTES) == []


async def test_what_waits_for_a_suspect_waits_for_the_next_one_too(process, event):
    one = await process(P0)
    one.suspects._no_suspect.clear()
    one.deliver(event(INNOCENT, P0))
    await asyncio.sleep(0)
    one.suspects._no_suspect.set()
    one.suspects._no_suspect.clear()
    await asyncio.sleep(0.05)  # no wait for anything: it had its chance
    assert one.prepared == []
    one.suspects._no_suspect.set()
    await one.end()
    assert one.prepared == [INNOCENT]


async def test_a_holder_that_lets_go_at_the_same_moment_is_no_holder(process, rows, monkeypatch):
    """On Postgres each statement sees what was committed before it: the first may see the row, and the second none."""
    refused = []

    def there_at_first(transaction, table, **values):
        if not refused:
            refused.append(values)
            return False
        return insert_if_absent(transaction, table, **values)

    monkeypatch.setattr("reference_impl.service_libs.suspects.insert_if_absent", there_at_first)
    await process(P0)
    assert refused
    assert len(await rows("SELECT * FROM holding")) == 1
