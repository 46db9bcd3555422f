"""Postgres through asyncpg: several transactions at once, each wait bounded, each commit synced."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import URL, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

_MIGRATING = 7_063_101_951_422_170_989
"""Key of the advisory lock that whoever migrates holds."""

_ANSWER_SECONDS = 1.0
"""How much longer than the server's own bound its answer is waited for."""

_RECYCLE_SECONDS = 300
"""Age at which a connection is made anew: what lies between may have forgotten one that was idle for longer."""


class Postgres:
    """Implements ``database.Store`` on a server.

    ``busy_seconds`` bounds the wait for a connection and for a lock; a statement, and a transaction that stands idle,
    may take twice as long. Whatever takes longer is an error, and its connection is closed, never used again: asyncpg
    waits that long once more for the server to say that it has stopped, and then ends the connection.
    """

    def __init__(self, url: URL, busy_seconds: float) -> None:
        bound = f"{int(2000 * busy_seconds)}ms"
        self._engine = create_async_engine(
            url.set(drivername="postgresql+asyncpg"),
            connect_args={
                "timeout": busy_seconds,
                "command_timeout": 2 * busy_seconds + _ANSWER_SECONDS,
                "server_settings": {
                    "lock_timeout": f"{int(1000 * busy_seconds)}ms",
                    "statement_timeout": bound,
                    "idle_in_transaction_session_timeout": bound,
                },
            },
            pool_timeout=busy_seconds,
            pool_recycle=_RECYCLE_SECONDS,
            hide_parameters=True,  # they are essays' data, and errors go into logs
        )
        event.listen(self._engine.sync_engine, "checkout", _on_checkout)

    @asynccontextmanager
    async def transaction(self, *, durable: bool) -> AsyncIterator[AsyncConnection]:
        async with self._engine.begin() as connection:
            if not durable:
                await connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        async with self._engine.connect() as connection:
            yield await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[AsyncConnection]:
        async with self.transaction(durable=True) as connection:
            for setting in ("fsync", "synchronous_commit"):
                if (await connection.exec_driver_sql(f"SHOW {setting}")).scalar() == "off":
                    raise ValueError(f"DATABASE_URL: {setting} is off there, so a commit may be lost; turn it on")
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
            yield connection

    async def stop(self) -> None:
        await self._engine.dispose()


def _on_checkout(_connection: object, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Replace a connection known to be dead, without the round trip of a ping.

    One that died unheard costs its user an error, and whoever meets one asks again.
    """
    if record.driver_connection is None or record.driver_connection.is_closed():
        raise DisconnectionError
