from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import func, insert, select

from reference_impl.common_core.enums import DeadLetterKind
from reference_impl.service_libs import database as databases
from reference_impl.service_libs.database import Database, insert_if_absent
from reference_impl.service_libs.errors import is_dependency_error
from reference_impl.service_libs.inbox import APPLIED, INBOX, QUARANTINE
from reference_impl.service_libs.outbox import OUTBOX
from tests.reference.transactions import MIGRATIONS, ROW, SEEN, Standing, ask, put


@pytest.fixture
def on(database_url) -> str:
    """Which kind of database it is."""
    return database_url.partition(":")[0]


async def test_it_keeps_what_is_committed_through_a_loss_of_power(database, on):
    asked, full = {"sqlite": ("PRAGMA synchronous", 2), "postgresql": ("SHOW synchronous_commit", "on")}[on]
    assert await database.write(lambda transaction: transaction.exec_driver_sql(asked).scalar()) == full


async def test_sqlite_writes_ahead(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/db", [])
    mode = await database.write(lambda transaction: transaction.exec_driver_sql("PRAGMA journal_mode").scalar())
    assert mode == "wal"
    await database.stop()


async def test_replicas_that_start_at_the_same_time_migrate_once(open_database, backoff):
    replicas = [open_database() for _ in range(5)]
    # As services do: only one may turn a new file to WAL, and the others are told at once that it is locked.
    await asyncio.gather(*(backoff.persist(replica.start, "migrate") for replica in replicas))
    names = [
        await replica.read(lambda connection: connection.exec_driver_sql("SELECT name FROM migration").all())
        for replica in replicas
    ]
    assert names == [names[0]] * 5
    assert len(names[0]) > len(MIGRATIONS)


async def test_a_column_that_came_later_is_added_once_to_a_database_from_before(database, open_database, rows):
    def as_before(transaction):
        transaction.exec_driver_sql("ALTER TABLE outbox DROP COLUMN added_at")
        transaction.exec_driver_sql("DELETE FROM migration WHERE name = 'outbox.added_at'")
        transaction.exec_driver_sql("INSERT INTO outbox (topic, key, value) VALUES ('t', 'k', 'v')")

    await database.write(as_before)
    for _ in range(2):
        await open_database().start()
    assert await rows("SELECT topic, added_at FROM outbox") == [("t", None)]
    assert await rows("SELECT count(*) FROM migration WHERE name = 'outbox.added_at'") == [(1,)]


async def test_a_restart_migrates_no_more_and_keeps_what_is_there(database, open_database, rows):
    await database.write(put)
    await open_database().start()
    assert await rows(SEEN) == [("e",)]


def fail(transaction):
    put(transaction)
    raise ZeroDivisionError


async def test_a_transaction_that_fails_leaves_nothing(database, rows):
    with pytest.raises(ZeroDivisionError):
        await database.write(fail)
    assert await rows(SEEN) == []
    await database.write(put)  # and the lock is free again


async def test_a_task_that_is_cancelled_ends_at_once_and_its_transaction_comes_to_its_own_end(database, rows):
    standing, called = Standing(), []

    def work(transaction):
        database.on_commit(transaction, lambda: called.append(1))
        standing(transaction)

    task = asyncio.create_task(database.write(work))
    await standing.entered()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await rows(SEEN) == []
    standing.go()
    await database.write(lambda transaction: put(transaction, "next"))
    await database.stop()
    assert called == [1]


async def test_one_that_is_cancelled_before_its_turn_is_never_begun(database, rows):
    before = [Standing(f"e{number}") for number in range(database._store.writers)]
    working = [asyncio.create_task(database.write(each)) for each in before]
    for each in before:
        await each.entered()
    never = Standing("never")
    queued = asyncio.create_task(database.write(never))
    await asyncio.sleep(0)
    queued.cancel()
    # The loop passes a cancellation on to the thread pool in its next turn; only then may a thread become free.
    with pytest.raises(asyncio.CancelledError):
        await queued
    for each in before:
        each.go()
    await asyncio.gather(*working)
    await database.write(ask)
    assert not never.begun


async def test_it_stops_only_when_what_is_under_way_has_come_to_its_end(database, open_database):
    standing = Standing()
    task = asyncio.create_task(database.write(standing))
    await standing.entered()
    stopping = asyncio.create_task(database.stop())
    await asyncio.wait([stopping], timeout=0.05)
    assert not stopping.done()
    standing.go()
    await asyncio.gather(task, stopping)
    other = open_database()
    assert await other.read(lambda connection: connection.exec_driver_sql(SEEN).all()) == [("e",)]


async def test_the_loop_goes_on_while_a_transaction_is_under_way(database):
    standing = Standing()
    task = asyncio.create_task(database.write(standing))
    await standing.entered()  # and here the loop runs
    assert not task.done()
    standing.go()
    await task


async def test_a_transaction_that_reads_first_can_write_after_another_has_written(database, open_database):
    """A deferred transaction of SQLite would fail with BUSY_SNAPSHOT here."""
    other = open_database()
    await other.start()
    has_read, written = threading.Event(), threading.Event()

    def read_then_write(transaction):
        transaction.execute(select(QUARANTINE)).all()
        has_read.set()
        written.wait(0.05)  # on SQLite it waits for this one instead
        put(transaction)

    async def write():
        assert await asyncio.to_thread(has_read.wait, 30)
        await other.write(lambda transaction: put(transaction, "other"))
        written.set()

    await asyncio.gather(database.write(read_then_write), write())


async def test_reading_does_not_wait_for_a_writer(database, rows):
    standing = Standing()
    task = asyncio.create_task(database.write(standing))
    await standing.entered()
    assert await rows(SEEN) == []
    standing.go()
    await task


async def test_what_is_read_is_of_one_moment(database):
    read_once, written = threading.Event(), threading.Event()
    number = select(func.count()).select_from(QUARANTINE)

    def read_twice(connection):
        before = connection.execute(number).scalar()
        read_once.set()
        assert written.wait(30)
        return before, connection.execute(number).scalar()

    reading = asyncio.create_task(database.read(read_twice))
    assert await asyncio.to_thread(read_once.wait, 30)
    await database.write(put)
    written.set()
    assert await reading == (0, 0)


async def test_of_two_that_insert_the_same_row_at_once_one_does(database, open_database):
    other = open_database()
    await other.start()

    def close(transaction):
        inserted = insert_if_absent(transaction, QUARANTINE, **ROW)
        time.sleep(0.02)  # no wait for anything: it makes the two overlap
        return inserted

    assert sorted(await asyncio.gather(database.write(close), other.write(close))) == [False, True]


async def test_a_lock_that_stays_is_a_dependencys_error(tmp_path):
    hurried = Database(f"sqlite:///{tmp_path}/db", [], busy_seconds=0.01)
    locker = sqlite3.connect(tmp_path / "db", isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    with pytest.raises(Exception, match="locked") as raised:
        await hurried.write(ask)
    assert is_dependency_error(raised.value)
    locker.close()
    await hurried.stop()


async def test_those_who_wait_behind_a_lock_that_stays_do_not_wait_for_it_one_after_another(tmp_path):
    hurried = Database(f"sqlite:///{tmp_path}/db", [], busy_seconds=0.05)
    await hurried.start()
    locker = sqlite3.connect(tmp_path / "db", isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    failed = await asyncio.gather(*(hurried.write(ask) for _ in range(10)), return_exceptions=True)
    assert all(map(is_dependency_error, failed))
    assert len([error for error in failed if isinstance(error, TimeoutError) and "to begin" in str(error)]) > 5
    locker.close()
    assert await hurried.write(ask) == 1
    await hurried.stop()


async def test_a_broken_constraint_is_the_handlers_error(database):
    await database.write(put)
    with pytest.raises(Exception, match=r"(?i)unique") as raised:
        await database.write(put)
    assert not is_dependency_error(raised.value)


async def test_insert_if_absent_says_whether_it_did(database):
    def twice(transaction):
        return [insert_if_absent(transaction, QUARANTINE, **ROW) for _ in range(2)]

    assert await database.write(twice) == [True, False]


async def test_moments_compare_as_they_are(database, clock):
    """Also across the zones that one moment is written in, on a database that keeps none."""
    sent = {"topic": "t", "key": "k", "value": b""}
    moments = [clock.now() + timedelta(microseconds=step) for step in (0, 1, 999_999, 1_000_000)]
    rows = [{**sent, "sent_at": moment} for moment in moments]
    await database.write(lambda transaction: transaction.execute(insert(OUTBOX), rows))
    for number, moment in enumerate(moments):
        earlier = select(func.count()).select_from(OUTBOX).where(OUTBOX.c.sent_at < moment)
        found = await database.read(lambda connection, query=earlier: connection.execute(query).scalar())
        assert found == number


async def test_what_is_called_on_commit_is_not_called_on_rollback(database):
    calls, main = [], threading.current_thread()

    def call(name):
        assert threading.current_thread() is main
        calls.append(name)

    def commit_or_not(name, *, error):
        def work(transaction):
            database.on_commit(transaction, lambda: call(name))
            transaction.execute(select(QUARANTINE))
            assert name not in calls
            if error:
                raise ZeroDivisionError

        return work

    with pytest.raises(ZeroDivisionError):
        await database.write(commit_or_not("rolled back", error=True))
    await asyncio.gather(*(database.write(commit_or_not(name, error=False)) for name in ("one", "two")))
    assert sorted(calls) == ["one", "two"]


@pytest.fixture
async def old_rows(database, clock):
    """Rows of each kind, ten seconds and no seconds old; none of them is as old as the clock."""
    young = clock.now()
    old = young - timedelta(seconds=10)
    left = {"topic": "t", "key": "k"}
    outbox_rows = [
        {**left, "value": value, "sent_at": at, "refused": why}
        for value, at, why in [
            *((b"old", old, None) for _ in range(5)),
            (b"young", young, None),
            (b"unsent", None, None),
            (b"refused", None, "too large"),
        ]
    ]
    inbox_rows = [
        {"consumer": "c", "event_id": event_id, "digest": "d", "closed_as": closed_as, "applied_at": at}
        for event_id, closed_as, at in [
            *((f"old{number}", APPLIED, old) for number in range(5)),
            ("young", APPLIED, young),
            ("set aside", DeadLetterKind.POISON, None),
        ]
    ]

    def fill(transaction):
        transaction.execute(insert(OUTBOX), outbox_rows)
        transaction.execute(insert(INBOX), inbox_rows)

    await database.write(fill)


async def test_what_is_too_old_is_forgotten_and_what_has_yet_to_serve_stays(*, database, old_rows, clock, rows):
    assert await database.forget(clock.now() - timedelta(seconds=10)) == 0
    assert await database.forget(clock.now()) == 10
    assert {bytes(value) for (value,) in await rows("SELECT value FROM outbox")} == {b"young", b"unsent", b"refused"}
    assert await rows("SELECT event_id FROM inbox ORDER BY 1") == [("set aside",), ("young",)]


async def test_many_are_forgotten_in_several_transactions(*, database, old_rows, clock, monkeypatch, rows):
    monkeypatch.setattr(databases, "_AT_ONCE", 2)
    real, deleted = database.write, []

    async def write(work):
        result = await real(work)
        deleted.append(result.rowcount)
        return result

    monkeypatch.setattr(database, "write", write)
    assert await database.forget(clock.now()) == sum(deleted) == 10
    assert max(deleted) == 2


def test_another_database_is_refused_by_name():
    with pytest.raises(ValueError, match="DATABASE_URL: mysql is not supported"):
        Database("mysql://x/y", [])
