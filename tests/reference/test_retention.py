from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import insert

from reference_impl.service_libs.outbox import OUTBOX
from reference_impl.service_libs.retention import Retention
from reference_impl.service_libs.settings import DatabaseSettings


@pytest.fixture
async def run(database, clock, backoff):
    """Begins to delete, until the test ends."""
    settings = DatabaseSettings(database_url="sqlite:///db", retention_hours=2)
    tasks = []

    def begin():
        tasks.append(asyncio.create_task(Retention(settings, database, clock, backoff).run()))
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
