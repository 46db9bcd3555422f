"""A database that was restored from a copy, while Redis remembers what came after it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from random import Random

import pytest

from reference_impl.common_core.events import UPLOAD_OUTCOMES
from reference_impl.service_libs import ledger
from reference_impl.service_libs.idempotency import InboxGuard, idempotent_consumer
from reference_impl.service_libs.inbox import Inbox
from reference_impl.service_libs.outbox import Outbox
from reference_impl.service_libs.suspects import Suspects

EFFECTS = "SELECT consumer, event_id FROM effect_ledger"


@pytest.fixture
def database_url(tmp_path):
    return f"sqlite:///{tmp_path}/db"


@pytest.fixture
def consumer(*, consumer_settings, idempotency, hints, clock, metrics, backoff):
    """A consumer of the uploads' outcomes, as a process that has opened this database has it."""

    def on(database):
        inbox = Inbox(consumer_settings, Outbox(database), clock)
        guard = InboxGuard(database, inbox, hints, metrics)
        suspects = Suspects(consumer_settings, database, backoff, Random(5))
        surroundings = replace(idempotency, guard=guard, database=database, inbox=inbox, suspects=suspects)

        @idempotent_consumer(surroundings, consumer="c", accepts=UPLOAD_OUTCOMES)
        async def handle(message):
            return lambda transaction: ledger.record(transaction, message, "u1")

        return handle

    return on


@pytest.fixture
def restore(tmp_path, open_database):
    """Copies the database, which nobody has open; what it gives puts the copy back and opens it."""

    def copy():
        kept = shutil.copy(tmp_path / "db", tmp_path / "copy")

        async def put_back():
            for beside in ("db-wal", "db-shm"):
                (tmp_path / beside).unlink(missing_ok=True)
            shutil.copy(kept, tmp_path / "db")
            opened = open_database()
            await opened.start()
            return opened

        return put_back

    return copy


async def test_what_the_copy_does_not_hold_is_applied_again_whatever_redis_says(
    *, database, open_database, restore, consumer, delivered, redis
):
    await database.stop()  # which writes all of it into the one file
    put_back = restore()
    before = open_database()
    await before.start()
    for _ in range(2):
        await consumer(before)(delivered())
    await before.stop()
    assert [key for key in redis.keys if key.startswith("done:")]
    restored = await put_back()
    for _ in range(3):
        await consumer(restored)(delivered(offset=7))
    effects = await restored.read(lambda connection: connection.exec_driver_sql(EFFECTS).all())
    assert len(effects) == 1


async def test_what_the_copy_holds_is_not_applied_again(*, database, restore, consumer, delivered, metrics):
    await consumer(database)(delivered())
    await database.stop()
    restored = await restore()()
    await consumer(restored)(delivered())
    effects = await restored.read(lambda connection: connection.exec_driver_sql(EFFECTS).all())
    assert len(effects) == 1
    assert metrics._registry.get_sample_value("duplicates_total", {"seen_by": "redis"}) == 1
