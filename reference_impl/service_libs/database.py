"""One code path to the database, SQLite or Postgres: SQLAlchemy Core."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Protocol

import structlog
from sqlalchemy import URL, Column, MetaData, String, Table, insert, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateTable, ExecutableDDLElement

from reference_impl.service_libs.postgres import Postgres
from reference_impl.service_libs.sqlite import Sqlite

_log = structlog.get_logger()

METADATA = MetaData()
"""Where every service's tables are described."""

_MIGRATION = Table("migration", METADATA, Column("name", String, primary_key=True))
_EPOCH = Table("epoch", METADATA, Column("epoch", String, primary_key=True))


@dataclass(frozen=True)
class Migration:
    """A named step that runs once in a database's life."""

    name: str
    statements: Sequence[ExecutableDDLElement]


class Store(Protocol):
    """What differs from one kind of database to another; ``migrating`` is a transaction that one holds at a time."""

    def transaction(self, *, durable: bool) -> AbstractAsyncContextManager[AsyncConnection]: ...
    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]: ...
    def migrating(self) -> AbstractAsyncContextManager[AsyncConnection]: ...
    async def stop(self) -> None: ...


class Database:
    """Transactions, reads that wait for none of them, and migrations that run once.

    ``start`` must have ended before anything else is asked. ``epoch`` is a random id that the first migration wrote:
    a new database has another, so what Redis remembers of an older one does not count.
    """

    def __init__(
        self, url: str, migrations: Sequence[Migration], random: Random, *, busy_seconds: float = 5.0
    ) -> None:
        self._migrations = migrations
        self._random = random
        self._store = _store(make_url(url), busy_seconds)
        self._on_commit: dict[AsyncConnection, list[Callable[[], None]]] = {}
        self.epoch = ""

    async def start(self) -> None:
        """Bring the tables up to date, also when several replicas do so at once.

        Raises ``sqlalchemy.exc.DBAPIError`` or ``OSError`` if the database cannot be used now, for instance because
        it is locked or away, and ``ValueError`` if it would lose what it says it has committed.
        """
        async with self._store.migrating() as transaction:
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
        await self._store.stop()

    def on_commit(self, transaction: AsyncConnection, call: Callable[[], None]) -> None:
        """Have ``call`` called if and when this transaction has committed."""
        self._on_commit.setdefault(transaction, []).append(call)

    @asynccontextmanager
    async def transaction(self, *, durable: bool = True) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits on leaving, and rolls back on an error.

        An error out of the commit itself leaves it open whether it was done: whoever asks again must look.
        ``durable=False`` spares the sync: what it commits survives the death of this process, not a loss of power.
        """
        async with self._store.transaction(durable=durable) as connection:
            try:
                yield connection
            finally:
                calls = self._on_commit.pop(connection, [])
        for call in calls:
            call()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A consistent view, without the write lock."""
        async with self._store.reading() as connection:
            yield connection


async def insert_if_absent(transaction: AsyncConnection, table: Table, **values: object) -> bool:
    """Insert a row unless its key is there already; whether it was inserted."""
    result = await transaction.execute(insert_into(transaction, table).values(**values).on_conflict_do_nothing())
    return result.rowcount == 1


def insert_into(transaction: AsyncConnection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that may say ON CONFLICT, which each dialect has for itself."""
    return sqlite.insert(table) if transaction.dialect.name == "sqlite" else postgresql.insert(table)


def _store(url: URL, busy_seconds: float) -> Store:
    match url.get_backend_name():
        case "sqlite":
            return Sqlite(url, busy_seconds)
        case "postgresql":
            return Postgres(url, busy_seconds)
        case other:
            raise ValueError(
                f"DATABASE_URL: {other} is not supported; use sqlite:///PATH or postgresql://USER@HOST:PORT/NAME"
            )
