"""One code path for SQLite and Postgres: SQLAlchemy Core, a transaction as one function in one thread.

The function receives the transaction and cannot await, so it cannot call the network inside it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Protocol, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite

from reference_impl.service_libs.sqlite import Sqlite

_log = structlog.get_logger()

T = TypeVar("T")

METADATA = sa.MetaData()
"""Describes the tables of every service."""

ENTRY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""The type of a number that each row takes from a sequence: 64 bits. After 2**31 rows every event would be poison.

SQLite's integers have 64 bits, and only a key of the type INTEGER numbers its rows.
"""

_MIGRATION = sa.Table("migration", METADATA, sa.Column("name", sa.String, primary_key=True))
_AT_ONCE = 1_000
"""Maximum number of rows deleted in one transaction, so that no other transaction waits long for it."""


@dataclass(frozen=True)
class Migration:
    """Tables with their indexes, created once per database; a row expires once one of its ``ages`` is too old.

    ``later``: nullable columns that the tables of older databases lack.
    """

    name: str
    tables: Sequence[sa.Table]
    ages: Sequence[sa.Column[datetime]] = ()
    later: Sequence[sa.Column[datetime]] = ()


class Store(Protocol):
    """What differs between kinds of databases."""

    writing: sa.Engine
    reading: sa.Engine
    writers: int
    """Number of concurrent transactions."""
    readers: int
    """Number of concurrent reads."""

    def begin_migrating(self, transaction: sa.Connection) -> None:
        """Let one process at a time migrate. Raises ``ValueError`` for a server that would lose commits."""


class Database:
    """Runs transactions, reads that wait for no transaction, and migrations.

    Call nothing else before ``start`` has returned; from then on ``started`` is true. ``busy_seconds`` bounds the wait
    for a thread, and then the wait for a connection and for a lock.
    """

    def __init__(self, url: str, migrations: Sequence[Migration], *, busy_seconds: float = 5.0) -> None:
        self._migrations = migrations
        self._busy_seconds = busy_seconds
        self._store = _store(url, busy_seconds)
        self._writers = ThreadPoolExecutor(self._store.writers, "writer")
        self._readers = ThreadPoolExecutor(self._store.readers, "reader")
        self._on_commit: dict[sa.Connection, list[Callable[[], object]]] = {}
        self.started = False

    async def start(self) -> None:
        """Migrate the tables; several replicas may do so at once.

        Raises ``sqlalchemy.exc.DBAPIError`` or ``OSError`` if the database cannot be used now, for instance because it
        is locked or down, and ``ValueError`` if it may lose committed transactions.
        """
        await self.write(self._migrate)
        self.started = True

    async def stop(self) -> None:
        """Wait for running transactions, and close every connection."""
        for threads in (self._writers, self._readers):
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)
        self._store.writing.dispose()

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a function in a transaction that commits when it returns, and rolls back if it raises.

        Raises what the function raises, and errors that ``errors.is_dependency_error`` knows. After an error from the
        commit itself, or a cancellation (the thread goes on), the transaction may have committed: a retry must look.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writers, self._write, work, loop, time.monotonic())

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a function over a consistent view, without the write lock."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work, time.monotonic())

    def on_commit(self, transaction: sa.Connection, call: Callable[[], object]) -> None:
        """Schedule ``call`` in the event loop for when this transaction has committed."""
        self._on_commit.setdefault(transaction, []).append(call)

    async def forget(self, before: datetime) -> int:
        """Delete expired rows older than ``before``, in small batches; return how many."""
        forgotten = 0
        for age in (age for migration in self._migrations for age in migration.ages):
            key = sa.tuple_(*age.table.primary_key.columns)
            old = sa.select(*age.table.primary_key.columns).where(age < before).limit(_AT_ONCE)
            delete = sa.delete(age.table).where(key.in_(old))
            while deleted := (await self.write(partial(sa.Connection.execute, statement=delete))).rowcount:
                forgotten += deleted
        return forgotten

    def _write(self, work: Callable[[sa.Connection], T], loop: asyncio.AbstractEventLoop, asked: float) -> T:
        self._in_time(asked)
        with self._store.writing.connect() as connection:
            try:
                with connection.begin():
                    result = work(connection)
            finally:
                calls = self._on_commit.pop(connection, [])
        for call in calls:
            loop.call_soon_threadsafe(call)
        return result

    def _read(self, work: Callable[[sa.Connection], T], asked: float) -> T:
        self._in_time(asked)
        with self._store.reading.connect() as connection:
            return work(connection)

    def _in_time(self, asked: float) -> None:
        """Refuse work that waited too long, as a connection pool does.

        Behind a link that hangs, or a lock that stays, one after the other would wait as long again.
        """
        if time.monotonic() - asked > self._busy_seconds:
            raise TimeoutError(f"waited more than {self._busy_seconds} s to begin")

    def _migrate(self, transaction: sa.Connection) -> None:
        self._store.begin_migrating(transaction)
        _MIGRATION.create(transaction, checkfirst=True)
        done = set(transaction.execute(sa.select(_MIGRATION.c.name)).scalars())
        for migration in self._migrations:
            if migration.name not in done:
                for table in migration.tables:
                    table.create(transaction, checkfirst=False)
                transaction.execute(sa.insert(_MIGRATION).values(name=migration.name))
                _log.info("migrated", migration=migration.name)
            for column in migration.later:
                name = f"{migration.name}.{column.name}"
                if name in done:
                    continue
                if migration.name in done:
                    kind = column.type.compile(transaction.dialect)
                    transaction.exec_driver_sql(f"ALTER TABLE {column.table.name} ADD COLUMN {column.name} {kind}")
                transaction.execute(sa.insert(_MIGRATION).values(name=name))


def insert_if_absent(transaction: sa.Connection, table: sa.Table, **values: object) -> bool:
    """Insert a row unless its key exists; return whether it was inserted."""
    return transaction.execute(_unless_there(transaction.dialect.name, table), values).rowcount == 1


@cache
def _unless_there(dialect: str, table: sa.Table) -> sa.Insert:
    """Build the dialect's own INSERT ... ON CONFLICT; cached, as building takes longer than running."""
    insert = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    # SQLAlchemy keeps an INSERT's row count only on request; by the time it is asked, psycopg's is gone.
    return insert.on_conflict_do_nothing().execution_options(preserve_rowcount=True)


def _store(url: str, busy_seconds: float) -> Store:
    parsed = sa.make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            return Sqlite(parsed, busy_seconds)
        case "postgresql":
            from reference_impl.service_libs.postgres import Postgres  # here, so that SQLite does without the driver

            return Postgres(parsed, busy_seconds)
        case other:
            raise ValueError(
                f"DATABASE_URL: {other} is not supported; use sqlite:///PATH or postgresql://USER@HOST:PORT/NAME"
            )
