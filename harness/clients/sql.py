"""Reads effects out of a service's database, past the proxies and without touching it; makes and drops databases."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from harness.errors import StackError

if TYPE_CHECKING:
    import asyncpg  # type: ignore[import-untyped]  # it ships no types

_SQLITE = "sqlite:///"
_POSTGRES = "postgresql://"

_AT_ONCE = 1000
"""Rows that are held at once: a long run has very many."""

_TIMEOUT = 10.0
"""Seconds that a connection, or a statement on it, may take."""


Take = Callable[[list[dict[str, object]]], None]
"""Is given some of the rows, beside the event loop."""


async def each(url: str, query: str, take: Take) -> None:
    """Give ``take`` every row of ``query`` at ``url`` (``sqlite:////file``, ``postgresql://…``), as column -> value.

    StackError if it cannot be read. Opened read-only for each look: an observer never holds a lock the system meets.
    """
    if url.startswith(_SQLITE):
        return await asyncio.to_thread(_sqlite, Path(url.removeprefix(_SQLITE)), query, take)
    if url.startswith(_POSTGRES):
        async with _connected(url) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            cursor = await connection.cursor(query)
            while found := await cursor.fetch(_AT_ONCE):
                await asyncio.to_thread(take, [dict(row) for row in found])
        return None
    kind = url.partition(":")[0]
    message = f"effects.sql.url: {kind} cannot be read; known are sqlite:///FILE and postgresql://USER@HOST:PORT/NAME"
    raise StackError(message)


async def rows(url: str, query: str) -> list[dict[str, object]]:
    """Every row of a query whose answer is small."""
    found: list[dict[str, object]] = []
    await each(url, query, found.extend)
    return found


async def create(server: str, database: str) -> None:
    """Make an empty database; ``server`` is a URL of another one there. StackError if it cannot be made."""
    async with _connected(server) as connection:
        await connection.execute(f'CREATE DATABASE "{database}"')


async def drop(server: str, database: str) -> None:
    """Drop a database if it is there, whoever is connected to it; StackError if it cannot be dropped."""
    async with _connected(server) as connection:
        await connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    import asyncpg

    try:
        connection = await asyncpg.connect(url, timeout=_TIMEOUT, command_timeout=_TIMEOUT)
        try:
            yield connection
        finally:
            connection.terminate()
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        known = urlsplit(url)  # without the password
        message = f"{known.hostname}:{known.port}{known.path}: {error or 'no answer in time'}"
        raise StackError(message) from error


def _sqlite(path: Path, query: str, take: Take) -> None:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            cursor = connection.execute(query)
            while found := cursor.fetchmany(_AT_ONCE):
                take([dict(row) for row in found])
    except sqlite3.Error as error:
        message = f"effects cannot be read from {path.name} of {path.parent.name}: {error}"
        raise StackError(message) from error
