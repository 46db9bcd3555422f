"""SQLite in WAL: one writer at a time, each commit synced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sqlalchemy import URL, Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

_READ_ONLY = "reads only"


class Sqlite:
    """Implements ``database.Store`` on a file; ``busy_seconds`` bounds the wait for another process's lock."""

    def __init__(self, url: URL, busy_seconds: float) -> None:
        self._url = url.set(drivername="sqlite+aiosqlite")
        self._busy_seconds = busy_seconds
        self._engines = {durable: self._engine("FULL" if durable else "NORMAL") for durable in (True, False)}
        # One process's writers queue here, fairly, and not by polling the file's lock.
        self._writing = asyncio.Lock()

    def _engine(self, synchronous: str) -> AsyncEngine:
        def on_connect(connection: DBAPIConnection, _record: object) -> None:
            connection.isolation_level = None  # the driver starts no transaction of its own: _on_begin does
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout={int(self._busy_seconds * 1000)}")
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute(f"PRAGMA synchronous={synchronous}")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()

        engine = create_async_engine(
            self._url,
            connect_args={"timeout": self._busy_seconds},
            hide_parameters=True,  # they are essays' data, and errors go into logs
        )
        event.listen(engine.sync_engine, "connect", on_connect)
        event.listen(engine.sync_engine, "begin", _on_begin)
        return engine

    @asynccontextmanager
    async def transaction(self, *, durable: bool) -> AsyncIterator[AsyncConnection]:
        async with self._writing, self._engines[durable].begin() as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        async with self._engines[True].connect() as connection:
            yield await connection.execution_options(**{_READ_ONLY: True})

    def migrating(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self.transaction(durable=True)  # it holds the file's only write lock

    async def stop(self) -> None:
        for engine in self._engines.values():
            await engine.dispose()


def _on_begin(connection: Connection) -> None:
    """Take the write lock first: a transaction that reads and then writes would fail at once with BUSY_SNAPSHOT."""
    reads_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
