from __future__ import annotations

import asyncio
import sqlite3
from random import Random

import pytest
from sqlalchemy import insert, select

from reference_impl.file_service.store import UPLOAD
from reference_impl.service_libs.database import Database, insert_if_absent
from reference_impl.service_libs.errors import is_dependency_error
from reference_impl.service_libs.inbox import QUARANTINE

ROW = {"consumer": "c", "event_id": "e", "digest": "d"}


async def test_it_keeps_what_is_committed_through_a_loss_of_power(database):
    async with database.transaction() as connection:
        journal = (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar()
        synchronous = (await connection.exec_driver_sql("PRAGMA synchronous")).scalar()
    assert (journal, synchronous) == ("wal", 2)  # 2 is FULL


async def test_replicas_that_start_at_the_same_time_migrate_once(open_database, backoff):
    replicas = [open_database() for _ in range(5)]
    # As services do: only one may turn a new file to WAL, and the others are told at once that it is locked.
    await asyncio.gather(*(backoff.persist(replica.start, "migrate") for replica in replicas))
    assert len({replica.epoch for replica in replicas}) == 1


async def test_a_restart_keeps_the_epoch(database, open_database):
    again = open_database()
    await again.start()
    assert again.epoch == database.epoch != ""


async def test_a_new_database_has_another_epoch(database, tmp_path):
    other = Database(f"sqlite:///{tmp_path}/other", [], Random(99))
    await other.start()
    assert other.epoch != database.epoch
    await other.stop()


async def fail_after_inserting(database, rows=1):
    async with database.transaction() as transaction:
        for _ in range(rows):
            await transaction.execute(insert(QUARANTINE).values(**ROW))
        raise ZeroDivisionError


async def test_a_transaction_that_fails_leaves_nothing(database, rows):
    with pytest.raises(ZeroDivisionError):
        await fail_after_inserting(database)
    assert await rows("SELECT * FROM quarantine") == []


async def test_a_transaction_that_is_cancelled_leaves_nothing(database, rows):
    entered = asyncio.Event()

    async def hang():
        async with database.transaction() as transaction:
            await transaction.execute(insert(QUARANTINE).values(**ROW))
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await rows("SELECT * FROM quarantine") == []
    async with database.transaction() as transaction:  # and the lock is free again
        await transaction.execute(insert(QUARANTINE).values(**ROW))


async def test_a_transaction_that_reads_first_can_write_after_another_has_written(database, open_database):
    """A deferred transaction would fail with BUSY_SNAPSHOT here."""
    other = open_database()
    await other.start()
    read = asyncio.Event()

    async def read_then_write():
        async with database.transaction() as transaction:
            await transaction.execute(select(QUARANTINE))
            read.set()
            await asyncio.sleep(0)
            await transaction.execute(insert(QUARANTINE).values(**ROW))

    async def write():
        await read.wait()
        async with other.transaction() as transaction:
            await transaction.execute(insert(QUARANTINE).values(**{**ROW, "event_id": "other"}))

    await asyncio.gather(read_then_write(), write())


async def test_reading_does_not_wait_for_a_writer(database, rows):
    async with database.transaction() as transaction:
        await transaction.execute(insert(QUARANTINE).values(**ROW))
        assert await rows("SELECT * FROM quarantine") == []


async def test_a_lock_that_stays_is_a_dependencys_error(database, tmp_path):
    hurried = Database(f"sqlite:///{tmp_path}/db", [], Random(5), busy_seconds=0.01)
    locker = sqlite3.connect(tmp_path / "db", isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    with pytest.raises(Exception, match="locked") as raised:
        async with hurried.transaction():
            pass
    assert is_dependency_error(raised.value)
    locker.close()
    await hurried.stop()


async def test_a_broken_constraint_is_the_handlers_error(database):
    with pytest.raises(Exception, match="UNIQUE") as raised:
        await fail_after_inserting(database, rows=2)
    assert not is_dependency_error(raised.value)


async def test_insert_if_absent_says_whether_it_did(database):
    async with database.transaction() as transaction:
        assert await insert_if_absent(transaction, QUARANTINE, **ROW)
        assert not await insert_if_absent(transaction, QUARANTINE, **ROW)


async def test_what_is_called_on_commit_is_not_called_on_rollback(database):
    calls = []
    database.on_commit(lambda: calls.append("commit"))
    with pytest.raises(ZeroDivisionError):
        await fail_after_inserting(database)
    assert calls == []
    async with database.transaction() as transaction:
        await transaction.execute(select(UPLOAD))
    assert calls == ["commit"]


def test_another_database_is_refused_by_name():
    with pytest.raises(ValueError, match="DATABASE_URL: mysql is not supported"):
        Database("mysql://x/y", [], Random(1))
