"""One code path to the database: SQLAlchemy Core. SQLite in WAL with synchronous=FULL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import structlog
from sqlalchemy import URL, Column, Connection, MetaData, String, Table, event, insert, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.schema import CreateTable, ExecutableDDLElement

_log = structlog.get_logger()

METADATA = MetaData()
"""Where every service's tables are described."""

_MIGRATION = Table("migration", METADATA, Column("name", String, primary_key=True))
_EPOCH = Table("epoch", METADATA, Column("epoch", String, primary_key=True))

_READ_ONLY = "reads only"


@dataclass(frozen=True)
class Migration:
    """A named step that runs once in a database's life."""

    name: str
    statements: Sequence[ExecutableDDLElement]


class Database:
    """Transactions that start with the write lock, reads that take none, and migrations that run once.

    ``start`` must have ended before anything else is asked. ``epoch`` is a random id that the first migration wrote:
    a new database has another, so what Redis remembers of an older one does not count.
    """

    def __init__(
        self, url: str, migrations: Sequence[Migration], random: Random, *, busy_seconds: float = 5.0
    ) -> None:
        self._migrations = migrations
        self._random = random
        self._busy_seconds = busy_seconds
        self._engine = create_async_engine(
            _with_driver(make_url(url)),
            connect_args={"timeout": busy_seconds},
            hide_parameters=True,  # they are essays' data, and errors go into logs
        )
        event.listen(self._engine.sync_engine, "connect", self._on_connect)
        event.listen(self._engine.sync_engine, "begin", _on_begin)
        # SQLite has one writer at a time: in one process they queue here, fairly, and not by polling the file's lock.
        self._writing = asyncio.Lock()
        self._on_commit: list[Callable[[], None]] = []
        self.epoch = ""

    async def start(self) -> None:
        """Bring the tables up to date, also when several replicas do so at once.

        Raises ``sqlalchemy.exc.DBAPIError`` if the database cannot be used now, for instance because it is locked.
        """
        async with self.transaction() as transaction:
            for table in (_MIGRATION, _EPOCH):
                await transaction.execute(CreateTable(table, if_not_exists=True))
            done = set((await transaction.execute(select(_MIGRATION.c.name))).scalars())
            for migration in self._migrations:
                if migration.name not in done:
                    for statement in migration.statements:
                        await transaction.execute(statement)
                    await transaction.execute(insert(_MIGRATION).values(name=migration.name))
                    _log.info("migrated", migration=migration.name)
            epoch = (await transaction.execute(select(_EPOCH.c.epoch))).scalar()
            if epoch is None:
                epoch = f"{self._random.getrandbits(128):032x}"
                await transaction.execute(insert(_EPOCH).values(epoch=epoch))
        self.epoch = epoch

    async def stop(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    def on_commit(self, call: Callable[[], None]) -> None:
        """Have ``call`` called after each commit of this process."""
        self._on_commit.append(call)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits on leaving, and rolls back on an error.

        An error out of the commit itself leaves it open whether it was done: whoever asks again must look.
        """
        async with self._writing, self._engine.begin() as connection:
            yield connection
        for call in self._on_commit:
            call()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A consistent view, without the write lock."""
        async with self._engine.connect() as connection:
            yield await connection.execution_options(**{_READ_ONLY: True})

    def _on_connect(self, connection: DBAPIConnection, _record: object) -> None:
        connection.isolation_level = None  # the driver starts no transaction of its own: _on_begin does
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={int(self._busy_seconds * 1000)}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()


async def insert_if_absent(transaction: AsyncConnection, table: Table, **values: object) -> bool:
    """Insert a row unless its key is there already; whether it was inserted."""
    result = await transaction.execute(insert_into(transaction, table).values(**values).on_conflict_do_nothing())
    return result.rowcount == 1


def insert_into(transaction: AsyncConnection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that may say ON CONFLICT, which each dialect has for itself."""
    return sqlite.insert(table) if transaction.dialect.name == "sqlite" else postgresql.insert(table)


def _with_driver(url: URL) -> URL:
    if url.get_backend_name() != "sqlite":
        raise ValueError(f"DATABASE_URL: {url.get_backend_name()} is not supported; use sqlite:///PATH")
    return url.set(drivername="sqlite+aiosqlite")


def _on_begin(connection: Connection) -> None:
    """Take the write lock first: a transaction that reads and then writes would fail at once with BUSY_SNAPSHOT."""
    reads_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
