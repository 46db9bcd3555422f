from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from aiokafka.errors import KafkaError
from sqlalchemy import insert

from reference_impl.service_libs import retention
from reference_impl.service_libs.inbox import Closing
from reference_impl.service_libs.message import Delivery, Message
from reference_impl.service_libs.outbox import OUTBOX
from reference_impl.service_libs.retention import Retention
from reference_impl.service_libs.settings import OutboxSettings


@pytest.fixture
def caught_up():
    """Set: what was on the topics is committed."""
    event = asyncio.Event()
    event.set()
    return event


@pytest.fixture
async def run(database, clock, backoff, caught_up, monkeypatch):
    """Begins to delete, until the test ends."""
    monkeypatch.setattr(retention, "_EVERY_SECONDS", 0.005)
    settings = OutboxSettings(retention_hours=2)
    tasks = []

    def begin():
        tasks.append(asyncio.create_task(Retention(settings, database, clock, backoff, caught_up.wait).run()))
        return tasks[-1]

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.fixture
async def sent(database, clock):
    """Events that were sent three hours ago, and one."""
    rows = [
        {"topic": "t", "key": str(hours), "value": b"", "sent_at": clock.now() - timedelta(hours=hours)}
        for hours in (1, 3)
    ]
    await database.write(lambda transaction: transaction.execute(insert(OUTBOX), rows))


async def test_what_is_older_than_the_setting_says_goes_by_itself(sent, run, rows):
    running = run()
    async with asyncio.timeout(30):
        while len(left := await rows("SELECT key FROM outbox")) > 1:
            await asyncio.sleep(0.005)
    assert left == [("1",)]
    assert not running.done()


async def test_an_outage_of_the_database_is_waited_out(*, sent, database, monkeypatch, run, rows):
    real, failed = database.forget, []

    async def forget(before):
        if len(failed) < 3:
            failed.append(before)
            raise OSError("away")
        return await real(before)

    monkeypatch.setattr(database, "forget", forget)
    run()
    async with asyncio.timeout(30):
        while len(await rows("SELECT key FROM outbox")) > 1:
            await asyncio.sleep(0.005)
    assert len(failed) == 3


async def test_what_was_applied_before_a_stop_is_known_until_everything_was_delivered_again(
    *, database, inbox, clock, run, rows, caught_up
):
    """Killed before the commit of its offset, and off for longer than the setting says."""
    message = Message("spell_checker", "7f3a", "d" * 64, Delivery("essays", 0, 17, b"u1", b"{}"))
    assert await database.write(lambda transaction: inbox.close(transaction, message)) is Closing.NEW
    clock.pass_seconds(3 * 3600)
    caught_up.clear()
    run()
    await asyncio.sleep(0.1)
    assert await database.write(lambda transaction: inbox.close(transaction, message)) is Closing.DUPLICATE
    caught_up.set()
    async with asyncio.timeout(30):
        while await rows("SELECT event_id FROM inbox"):
            await asyncio.sleep(0.005)


async def test_a_broker_that_does_not_answer_is_waited_for(database, clock, backoff, monkeypatch, rows):
    monkeypatch.setattr(retention, "_EVERY_SECONDS", 0.005)
    asked = []

    async def caught_up():
        asked.append(len(await rows("SELECT key FROM outbox")))
        if len(asked) < 3:
            raise KafkaError("away")

    old = {"topic": "t", "key": "3", "value": b"", "sent_at": clock.now() - timedelta(hours=3)}
    await database.write(lambda transaction: transaction.execute(insert(OUTBOX), old))
    task = asyncio.create_task(
        Retention(OutboxSettings(retention_hours=2), database, clock, backoff, caught_up).run()
    )
    async with asyncio.timeout(30):
        while await rows("SELECT key FROM outbox"):
            await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.wait([task])
    assert asked[:3] == [1, 1, 1]
