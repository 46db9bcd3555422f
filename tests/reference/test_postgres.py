"""What the reference asks of Postgres alone: a real server, and a link to it that hangs, loses an answer, or ends."""

from __future__ import annotations

import asyncio
import selectors
import threading
import traceback
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError

from reference_impl.common_core.events import UPLOAD_OUTCOMES
from reference_impl.service_libs import postgres as postgreses
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.errors import is_dependency_error
from reference_impl.service_libs.inbox import QUARANTINE, Closing, Inbox
from reference_impl.service_libs.message import read
from reference_impl.service_libs.outbox import OUTBOX, Outbox
from tests.reference.transactions import MIGRATIONS, ROW, Standing, ask, put


@pytest.fixture
def postgres_url(postgres) -> str:
    return postgres()


@pytest.fixture
async def on_postgres(postgres_url):
    """Opens one empty Postgres database, also through another address."""
    url, opened = postgres_url, []

    def opened_at(address=None, *, migrations=(), **options):
        there = url if address is None else f"{url.partition('@')[0]}@{address}/postgres"
        opened.append(Database(there, migrations, **options))
        return opened[-1]

    connect: Any = opened_at
    connect.url = url
    yield connect
    for database in opened:
        await database.stop()


async def test_what_is_only_read_cannot_be_written(on_postgres):
    database = on_postgres(migrations=MIGRATIONS)
    await database.start()
    with pytest.raises(DBAPIError, match="read-only"):
        await database.read(put)


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

    address: str

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


class Hanging:
    """A function for a transaction that asks, has the link hang, and asks again."""

    def __init__(self, link):
        self.begun = threading.Event()
        self._link = link

    def __call__(self, transaction):
        ask(transaction)
        self._link.hangs = True
        self.begun.set()
        ask(transaction)


def driver_of(transaction):
    return transaction.connection.driver_connection


async def test_a_commit_whose_answer_is_lost_is_asked_for_again_and_the_inbox_tells(
    *, on_postgres, link, delivered, clock, consumer_settings
):
    database = on_postgres(link.address, migrations=MIGRATIONS)
    await database.start()
    inbox = Inbox(consumer_settings, Outbox(database), clock)
    message = read(delivered(), "c", {each.EVENT_TYPE: each for each in UPLOAD_OUTCOMES})
    assert message is not None
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

    hang = Hanging(link)

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
    database, hang = on_postgres(link.address, busy_seconds=60), Hanging(link)
    task = asyncio.create_task(database.write(hang))
    assert await asyncio.to_thread(hang.begun.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(30):
            await task


async def test_stopping_over_a_link_that_hangs_ends_within_the_bound(on_postgres, link):
    database, hang = on_postgres(link.address, busy_seconds=0.1), Hanging(link)
    tasks = [asyncio.create_task(work) for work in (database.write(hang), database.read(hang))]
    assert await asyncio.to_thread(hang.begun.wait, 30)
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


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_no_table_runs_out_of_entries(database, the_outbox, rows):
    """Else each event would be poison from then on, as the sequence's error is no dependency's."""
    counted = await rows("SELECT sequencename, max_value FROM pg_sequences WHERE schemaname = current_schema()")
    assert dict(counted) == {
        f"{table}_entry_seq": 2**63 - 1 for table in ("outbox", "effect_ledger", "spellcheck", "admission", "ranking")
    }

    def add(transaction):
        transaction.exec_driver_sql(f"SELECT setval('outbox_entry_seq', {2**31 - 1})")
        the_outbox.add(transaction, "t", "k", b"")

    await database.write(add)
    assert await rows("SELECT entry FROM outbox") == [(2**31,)]


@pytest.mark.parametrize(("table", "row"), [(QUARANTINE, {**ROW, "event_id": "a\0b"}), (OUTBOX, {"entry": 2**70})])
async def test_a_value_that_postgres_cannot_hold_is_the_handlers_error(on_postgres, table, row):
    database = on_postgres(migrations=MIGRATIONS)
    await database.start()
    values = row if table is QUARANTINE else {"topic": "t", "key": "k", "value": b"", **row}
    with pytest.raises(DBAPIError, match=r"(?i)cannot contain NUL|out of range") as raised:
        await database.write(lambda transaction: transaction.execute(insert(table).values(**values)))
    assert not is_dependency_error(raised.value)
