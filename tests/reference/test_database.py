from __future__ import annotations

import asyncio
import sqlite3
import traceback
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError

from reference_impl.common_core.events import UPLOAD_OUTCOMES
from reference_impl.service_libs import inbox as inboxes
from reference_impl.service_libs import outbox
from reference_impl.service_libs.database import Database, insert_if_absent
from reference_impl.service_libs.errors import is_dependency_error
from reference_impl.service_libs.inbox import ATTEMPT, QUARANTINE, Closing, Inbox
from reference_impl.service_libs.message import read
from reference_impl.service_libs.outbox import OUTBOX, Outbox

MIGRATIONS = [outbox.MIGRATION, inboxes.MIGRATION]

ROW = {"consumer": "c", "event_id": "e", "digest": "d"}


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
        opened.append(Database(there, migrations, Random(len(opened)), **options))
        return opened[-1]

    connect.url = url
    yield connect
    for database in opened:
        await database.stop()


async def setting(database, on, *, durable):
    async with database.transaction(durable=durable) as connection:
        ask = "PRAGMA synchronous" if on == "sqlite" else "SHOW synchronous_commit"
        return (await connection.exec_driver_sql(ask)).scalar()


async def test_it_keeps_what_is_committed_through_a_loss_of_power(database, on):
    full, not_full = {"sqlite": (2, 1), "postgresql": ("on", "off")}[on]  # 1 is NORMAL
    assert await setting(database, on, durable=True) == full
    assert await setting(database, on, durable=False) == not_full
    assert await setting(database, on, durable=True) == full


async def test_sqlite_writes_ahead(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/db", [], Random(1))
    async with database.transaction() as connection:
        assert (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar() == "wal"
    await database.stop()


async def test_what_is_not_durable_is_there_all_the_same(database, rows):
    async with database.transaction(durable=False) as transaction:
        await transaction.execute(insert(QUARANTINE).values(**ROW))
    assert len(await rows("SELECT * FROM quarantine")) == 1


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
    """A deferred transaction of SQLite would fail with BUSY_SNAPSHOT here."""
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


async def test_what_is_read_is_of_one_moment(database):
    async with database.reading() as connection:
        before = (await connection.execute(select(func.count()).select_from(QUARANTINE))).scalar()
        async with database.transaction() as transaction:
            await transaction.execute(insert(QUARANTINE).values(**ROW))
        assert (await connection.execute(select(func.count()).select_from(QUARANTINE))).scalar() == before


async def test_of_two_that_insert_the_same_row_at_once_one_does(database, open_database):
    other = open_database()
    await other.start()

    async def close(one):
        async with one.transaction() as transaction:
            inserted = await insert_if_absent(transaction, QUARANTINE, **ROW)
            await asyncio.sleep(0.02)  # no wait for anything: it makes the two overlap
            return inserted

    assert sorted(await asyncio.gather(close(database), close(other))) == [False, True]


async def test_a_lock_that_stays_is_a_dependencys_error(tmp_path):
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
    with pytest.raises(Exception, match=r"(?i)unique") as raised:
        await fail_after_inserting(database, rows=2)
    assert not is_dependency_error(raised.value)


async def test_insert_if_absent_says_whether_it_did(database):
    async with database.transaction() as transaction:
        assert await insert_if_absent(transaction, QUARANTINE, **ROW)
        assert not await insert_if_absent(transaction, QUARANTINE, **ROW)


async def test_moments_compare_as_they_are(database, clock):
    """Also across the zones that one moment is written in, on a database that keeps none."""
    sent = {"topic": "t", "key": "k", "value": b""}
    moments = [clock.now() + timedelta(microseconds=step) for step in (0, 1, 999_999, 1_000_000)]
    async with database.transaction() as transaction:
        for moment in moments:
            await transaction.execute(insert(OUTBOX).values(**sent, sent_at=moment))
    for number, moment in enumerate(moments):
        async with database.reading() as connection:
            earlier = select(func.count()).select_from(OUTBOX).where(OUTBOX.c.sent_at < moment)
            assert (await connection.execute(earlier)).scalar() == number


async def test_what_is_called_on_commit_is_not_called_on_rollback(database):
    calls = []

    async def commit_or_not(name, *, error):
        async with database.transaction() as transaction:
            database.on_commit(transaction, lambda: calls.append(name))
            await transaction.execute(select(QUARANTINE))
            assert name not in calls
            if error:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await commit_or_not("rolled back", error=True)
    await asyncio.gather(commit_or_not("one", error=False), commit_or_not("two", error=False))
    assert sorted(calls) == ["one", "two"]


def test_another_database_is_refused_by_name():
    with pytest.raises(ValueError, match="DATABASE_URL: mysql is not supported"):
        Database("mysql://x/y", [], Random(1))


@pytest.mark.parametrize("lost", ["fsync", "synchronous_commit"])
def test_a_server_that_would_lose_a_commit_is_refused(serve_postgres, lost):
    async def start(url):
        database = Database(url, [], Random(1))
        try:
            await database.start()
        finally:
            await database.stop()

    with serve_postgres(**{lost: "off"}) as new, pytest.raises(ValueError, match=f"DATABASE_URL: {lost} is off"):
        asyncio.run(start(new()))


async def test_a_lock_that_stays_on_postgres_is_a_dependencys_error(on_postgres):
    holder, hurried = on_postgres(), on_postgres(busy_seconds=0.1)
    async with holder.transaction() as transaction:
        await transaction.exec_driver_sql("CREATE TABLE held (n int)")
        await transaction.exec_driver_sql("SELECT pg_advisory_xact_lock(7063101951422170989)")
        with pytest.raises(Exception, match="lock timeout") as raised:
            await hurried.start()
    assert is_dependency_error(raised.value)
    await hurried.start()


async def test_a_transaction_that_stands_idle_is_ended_by_the_server(on_postgres):
    hurried, other = on_postgres(busy_seconds=0.1), on_postgres(busy_seconds=20)

    async def stand_idle():
        async with hurried.transaction() as transaction:
            await transaction.exec_driver_sql("SELECT pg_advisory_xact_lock(1)")
            async with other.transaction() as waiting:
                await waiting.exec_driver_sql("SELECT pg_advisory_xact_lock(1)")
            await transaction.execute(text("SELECT 1"))

    # Which it is depends on how far the driver has come with the news.
    with pytest.raises(DBAPIError, match=r"idle-in-transaction|closed|in progress") as raised:
        await stand_idle()
    assert is_dependency_error(raised.value)
    async with hurried.transaction() as transaction:
        await transaction.execute(text("SELECT 1"))


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


async def test_a_commit_whose_answer_is_lost_is_asked_for_again_and_the_inbox_tells(on_postgres, link, delivered):
    database = on_postgres(link.address, migrations=MIGRATIONS)
    await database.start()
    inbox = Inbox(database, Outbox(database), "dead-letters")
    message = read(delivered(), "c", UPLOAD_OUTCOMES)
    link.lose = b"COMMIT"
    with pytest.raises(Exception, match="closed") as raised:
        async with database.transaction() as transaction:
            assert await inbox.close(transaction, message) == Closing.NEW
    assert is_dependency_error(raised.value)
    link.lose = None
    async with database.transaction() as transaction:
        assert await inbox.close(transaction, message) == Closing.DUPLICATE


async def test_a_link_that_hangs_ends_the_wait_and_the_connection(on_postgres, link):
    database = on_postgres(link.address, busy_seconds=0.1)
    async with database.transaction() as transaction:
        driver = (await transaction.get_raw_connection()).driver_connection

    async def ask():
        async with database.transaction() as transaction:
            await transaction.execute(text("SELECT 1"))
            link.hangs = True
            await transaction.execute(text("SELECT 1"))

    for _ in ("on a connection that is there", "on one that is to be made"):
        asked = asyncio.create_task(ask())
        await asyncio.wait([asked], timeout=30)
        assert asked.done(), "the wait is not bounded"
        with pytest.raises(TimeoutError) as raised:
            await asked
        assert is_dependency_error(raised.value)
        assert driver.is_closed()
    link.hangs = False
    async with database.transaction() as transaction:
        assert (await transaction.execute(text("SELECT 1"))).scalar() == 1


async def test_a_task_that_is_cancelled_over_a_link_that_hangs_ends(on_postgres, link):
    database, asked = on_postgres(link.address, busy_seconds=60), asyncio.Event()

    async def hang():
        async with database.transaction() as transaction:
            await transaction.execute(text("SELECT 1"))
            link.hangs = True
            asked.set()
            await transaction.execute(text("SELECT 1"))

    task = asyncio.create_task(hang())
    await asked.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(30):
            await task


async def test_a_connection_that_ended_meanwhile_is_replaced(on_postgres, link, until):
    database = on_postgres(link.address)
    async with database.transaction() as transaction:
        driver = (await transaction.get_raw_connection()).driver_connection
    link.end()
    await until(driver.is_closed)
    async with database.transaction() as transaction:
        assert (await transaction.execute(text("SELECT 1"))).scalar() == 1


@pytest.mark.parametrize("url", ["postgresql://one:secret@127.0.0.1:1/x", "postgresql://one:secret@here:there/x"])
async def test_a_password_is_in_no_error(url):
    with pytest.raises((OSError, ValueError)) as raised:
        await Database(url, [], Random(1)).start()
    assert "secret" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("row", [{"event_id": "a\0b"}, {"started": 2**40}])
async def test_a_value_that_postgres_cannot_hold_is_the_handlers_error(on_postgres, row):
    database = on_postgres(migrations=MIGRATIONS)
    await database.start()
    with pytest.raises(Exception, match=r"(?i)invalid") as raised:
        async with database.transaction() as transaction:
            await transaction.execute(insert(ATTEMPT).values(**{**ROW, "started": 1, **row}))
    assert not is_dependency_error(raised.value)
