from __future__ import annotations

import asyncio
import selectors
import sqlite3
import threading
import time
import traceback
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError

from reference_impl.common_core.enums import DeadLetterKind
from reference_impl.common_core.events import UPLOAD_OUTCOMES
from reference_impl.service_libs import database as databases
from reference_impl.service_libs import inbox as inboxes
from reference_impl.service_libs import outbox
from reference_impl.service_libs import postgres as postgreses
from reference_impl.service_libs.database import Database, insert_if_absent
from reference_impl.service_libs.errors import is_dependency_error
from reference_impl.service_libs.inbox import APPLIED, INBOX, QUARANTINE, Closing, Inbox
from reference_impl.service_libs.message import read
from reference_impl.service_libs.outbox import OUTBOX, Outbox

MIGRATIONS = [outbox.MIGRATION, inboxes.MIGRATION]

ROW = {"consumer": "c", "event_id": "e", "digest": "d"}
SEEN = "SELECT event_id FROM quarantine ORDER BY 1"


def put(transaction, event_id="e"):
    transaction.execute(insert(QUARANTINE).values(**{**ROW, "event_id": event_id}))


def ask(connection):
    return connection.execute(text("SELECT 1")).scalar()


class Standing:
    """A function for a transaction that inserts a row, and stands in its thread until it is let go."""

    def __init__(self, event_id="e"):
        self.begun = False
        self.event_id = event_id
        self._entered, self._go = threading.Event(), threading.Event()

    def __call__(self, transaction):
        self.begun = True
        put(transaction, self.event_id)
        self._entered.set()
        assert self._go.wait(30)

    async def entered(self):
        assert await asyncio.to_thread(self._entered.wait, 30)

    def go(self):
        self._go.set()


@pytest.fixture
def on(database_url) -> str:
    """Which kind of database it is."""
    return database_url.partition(":")[0]


@pytest.fixture
def postgres_url(postgres) -> str:
    return postgres()


@pytest.fixture
async def on_postgres(postgres_url):
    """Opens one empty Postgres database, also through another address."""
    url, opened = postgres_url, []

    def connect(address=None, *, migrations=(), **options):
        there = url if address is None else f"{url.partition('@')[0]}@{address}/postgres"
        opened.append(Database(there, migrations, **options))
        return opened[-1]

    connect.url = url
    yield connect
    for database in opened:
        await database.stop()


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
    for each in before:
        each.go()
    await asyncio.gather(*working)
    with pytest.raises(asyncio.CancelledError):
        await queued
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


async def test_what_is_only_read_cannot_be_written(on_postgres):
    database = on_postgres(migrations=MIGRATIONS)
    await database.start()
    with pytest.raises(DBAPIError, match="read-only"):
        await database.read(put)


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


@pytest.mark.parametrize("lost", ["fsync", "synchronous_commit"])
def test_a_server_that_would_lose_a_commit_is_refused(serve_postgres, lost):
    async def start(url):
        database = Database(url, [])
        try:
            await database.start()
        finally:
            await database.stop()

    with serve_postgres(**{lost: "off"}) as new, pytest.raises(ValueError, match=f"DATABASE_URL: {lost} is off"):
        asyncio.run(start(new()))


async def test_a_lock_that_stays_on_postgres_is_a_dependencys_error(on_postgres):
    holder, hurried = on_postgres(migrations=MIGRATIONS), on_postgres(busy_seconds=0.1)
    await holder.start()
    standing = Standing()

    def hold(transaction):
        transaction.exec_driver_sql("SELECT pg_advisory_xact_lock(7063101951422170989)")
        standing(transaction)

    holding = asyncio.create_task(holder.write(hold))
    await standing.entered()
    with pytest.raises(Exception, match="lock timeout") as raised:
        await hurried.start()
    assert is_dependency_error(raised.value)
    standing.go()
    await holding
    await hurried.start()


async def test_a_transaction_that_stands_idle_is_ended_by_the_server(on_postgres):
    hurried, other = on_postgres(busy_seconds=0.1), on_postgres(busy_seconds=20)
    held, ended = threading.Event(), threading.Event()

    def lock(transaction):
        transaction.exec_driver_sql("SELECT pg_advisory_xact_lock(1)")

    def stand_idle(transaction):
        lock(transaction)
        held.set()
        assert ended.wait(30)
        ask(transaction)

    standing = asyncio.create_task(hurried.write(stand_idle))
    assert await asyncio.to_thread(held.wait, 30)
    await other.write(lock)
    ended.set()
    with pytest.raises(DBAPIError, match=r"idle-in-transaction|closed") as raised:
        await standing
    assert is_dependency_error(raised.value)
    assert await hurried.write(ask) == 1


class Link:
    """Between a client and a server; it can hold up what either says, and lose one answer."""

    def __init__(self):
        self.hangs = False
        self.lose = None
        """Words of the client's; once they have reached the server, the connection ends before its answer."""
        self._ends = []

    @asynccontextmanager
    async def before(self, address):
        host, _, self._port = address.rpartition(":")
        async with await asyncio.start_server(self._serve, host, 0) as server:
            host, port = server.sockets[0].getsockname()
            yield f"{host}:{port}"
            self.end()

    async def _serve(self, reader, writer):
        upstream, downstream = await asyncio.open_connection("127.0.0.1", self._port)
        self._ends += [writer, downstream]
        losing = asyncio.Event()
        both = [
            asyncio.create_task(self._ask(reader, downstream, losing)),
            asyncio.create_task(self._answer(upstream, writer, losing)),
        ]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        while self.hangs:  # that one side has ended is not said either
            await asyncio.sleep(0.01)
        for one in both:
            one.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        writer.transport.abort()
        downstream.transport.abort()

    async def _ask(self, reader, downstream, losing):
        while data := await reader.read(1 << 16):
            if self.lose is not None and self.lose in data:
                losing.set()
            if not self.hangs:
                downstream.write(data)

    async def _answer(self, upstream, writer, losing):
        while (data := await upstream.read(1 << 16)) and not losing.is_set():
            if not self.hangs:
                writer.write(data)

    def end(self):
        """End every connection."""
        self.hangs = False
        for end in self._ends:
            end.transport.abort()


@pytest.fixture
async def link(on_postgres):
    """A link to that server, with its address."""
    made = Link()
    async with made.before(on_postgres.url.partition("@")[2].partition("/")[0]) as made.address:
        yield made


def driver_of(transaction):
    return transaction.connection.driver_connection


async def test_a_commit_whose_answer_is_lost_is_asked_for_again_and_the_inbox_tells(
    on_postgres, link, delivered, clock
):
    database = on_postgres(link.address, migrations=MIGRATIONS)
    await database.start()
    inbox = Inbox(Outbox(database), clock, "dead-letters")
    message = read(delivered(), "c", {each.EVENT_TYPE: each for each in UPLOAD_OUTCOMES})
    closings = []

    def close(transaction):
        closings.append(inbox.close(transaction, message))

    link.lose = b"COMMIT"
    with pytest.raises(DBAPIError) as raised:
        await database.write(close)
    assert is_dependency_error(raised.value)
    link.lose = None
    await database.write(close)
    assert closings == [Closing.NEW, Closing.DUPLICATE]


async def test_a_link_that_hangs_ends_the_wait_and_the_connection(on_postgres, link):
    database = on_postgres(link.address, busy_seconds=0.1)
    driver = await database.write(driver_of)

    def hang(transaction):
        ask(transaction)
        link.hangs = True
        ask(transaction)

    for _ in ("on a connection that is there", "on one that is to be made"):
        asked = asyncio.create_task(database.write(hang))
        await asyncio.wait([asked], timeout=30)
        assert asked.done(), "the wait is not bounded"
        with pytest.raises(DBAPIError) as raised:
            await asked
        assert is_dependency_error(raised.value)
        assert driver.closed
    link.hangs = False
    assert await database.write(ask) == 1


async def test_a_commit_over_a_link_that_hangs_ends_within_the_bound(on_postgres, link):
    database = on_postgres(link.address, busy_seconds=0.1)

    def hang(transaction):
        ask(transaction)
        link.hangs = True

    asked = asyncio.create_task(database.write(hang))
    await asyncio.wait([asked], timeout=30)
    assert asked.done(), "the wait is not bounded"
    with pytest.raises(DBAPIError) as raised:
        await asked
    assert is_dependency_error(raised.value)


async def test_reading_over_a_link_that_hangs_ends_within_the_bound(on_postgres, link):
    database = on_postgres(link.address, busy_seconds=0.1)

    def hang(connection):
        ask(connection)
        link.hangs = True
        return 1  # it ends well, and then the view has to be let go of

    asked = asyncio.create_task(database.read(hang))
    await asyncio.wait([asked], timeout=30)
    assert asked.done(), "the wait is not bounded"
    await asyncio.gather(asked, return_exceptions=True)
    link.hangs = False
    assert await database.read(ask) == 1


async def test_those_who_wait_behind_a_link_that_hangs_do_not_wait_for_it_one_after_another(on_postgres, link):
    database = on_postgres(link.address, busy_seconds=0.1)

    def hang(transaction):
        link.hangs = True
        ask(transaction)

    asked = await asyncio.gather(
        *(database.write(hang) for _ in range(5 * database._store.writers)),
        *(database.read(hang) for _ in range(5 * database._store.readers)),
        return_exceptions=True,
    )
    assert all(map(is_dependency_error, asked))
    at_once = [error for error in asked if isinstance(error, TimeoutError) and "to begin" in str(error)]
    assert len(at_once) > len(asked) / 2
    link.hangs = False
    assert await database.write(ask) == 1


async def test_a_task_that_is_cancelled_over_a_link_that_hangs_ends(on_postgres, link):
    database, asked = on_postgres(link.address, busy_seconds=60), threading.Event()

    def hang(transaction):
        ask(transaction)
        link.hangs = True
        asked.set()
        ask(transaction)

    task = asyncio.create_task(database.write(hang))
    assert await asyncio.to_thread(asked.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(30):
            await task


async def test_stopping_over_a_link_that_hangs_ends_within_the_bound(on_postgres, link):
    database, asked = on_postgres(link.address, busy_seconds=0.1), threading.Event()

    def hang(transaction):
        ask(transaction)
        link.hangs = True
        asked.set()
        ask(transaction)

    tasks = [asyncio.create_task(work) for work in (database.write(hang), database.read(hang))]
    assert await asyncio.to_thread(asked.wait, 30)
    for task in tasks:
        task.cancel()
    async with asyncio.timeout(30):
        await database.stop()
    assert link.hangs
    await asyncio.wait(tasks)


async def test_a_connection_that_ended_meanwhile_is_replaced(on_postgres, link, until):
    database = on_postgres(link.address)
    driver = await database.write(driver_of)
    link.end()
    await until(lambda: _has_ended(driver))
    assert await database.write(ask) == 1


async def test_a_connection_made_for_its_very_user_is_not_taken_for_one_that_ended(on_postgres, monkeypatch):
    class Ended:
        def register(self, *_): ...

        def poll(self, _):
            return [1]

    database = on_postgres()
    await database.write(ask)
    monkeypatch.setattr(postgreses, "select", SimpleNamespace(poll=Ended, POLLIN=1))
    drivers = {await database.write(driver_of) for _ in range(3)}
    assert len(drivers) == 3


def _has_ended(driver):
    """Whether the news of it has come to this machine, though nobody has read it yet."""
    with selectors.DefaultSelector() as selector:
        selector.register(driver.fileno(), selectors.EVENT_READ)
        return bool(selector.select(0))


@pytest.mark.parametrize("url", ["postgresql://one:secret@127.0.0.1:1/x", "postgresql://one:secret@here:there/x"])
async def test_a_password_is_in_no_error(url):
    with pytest.raises((DBAPIError, OSError, ValueError)) as raised:
        await Database(url, []).start()
    assert "secret" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(("table", "row"), [(QUARANTINE, {**ROW, "event_id": "a\0b"}), (OUTBOX, {"entry": 2**40})])
async def test_a_value_that_postgres_cannot_hold_is_the_handlers_error(on_postgres, table, row):
    database = on_postgres(migrations=MIGRATIONS)
    await database.start()
    values = row if table is QUARANTINE else {"topic": "t", "key": "k", "value": b"", **row}
    with pytest.raises(DBAPIError, match=r"(?i)cannot contain NUL|out of range") as raised:
        await database.write(lambda transaction: transaction.execute(insert(table).values(**values)))
    assert not is_dependency_error(raised.value)
