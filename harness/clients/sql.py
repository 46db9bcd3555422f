"""Reads effects from a service's database, read-only and bypassing the proxies; creates and drops databases."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from itertools import islice
from pathlib import Path

from harness.errors import StackError

_SQLITE = "sqlite:///"
_POSTGRES = "postgresql://"

_AT_ONCE = 1000
"""Rows held in memory at once: a long run has very many."""


Row = dict[str, object]
"""Column -> value."""

Take = Callable[[list[Row]], None]
"""Receives some of the rows, in a thread beside the event loop."""


async def each(url: str, query: str, take: Take) -> None:
    """Pass every row of ``query`` at ``url`` (``sqlite:////file``, ``postgresql://…``) to ``take``.

    Each call opens the database read-only, so an observer never holds a lock that the system could run into. Raises
    StackError if it cannot be read.
    """
    abandoned = threading.Event()
    try:
        await asyncio.to_thread(_give, url, query, take, abandoned)
    finally:
        abandoned.set()


async def rows(url: str, query: str) -> list[Row]:
    """Return every row of a query with a small result."""
    result: list[Row] = []
    await each(url, query, result.extend)
    return result


async def create(server: str, database: str) -> None:
    """Create an empty database; ``server`` is the URL of another one on that server. Raises StackError."""
    from harness.clients import postgres

    await asyncio.to_thread(postgres.execute, server, f'CREATE DATABASE "{database}"')


async def drop(server: str, database: str) -> None:
    """Drop a database if it exists, even while clients are connected to it. Raises StackError."""
    from harness.clients import postgres

    await asyncio.to_thread(postgres.execute, server, f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


def _give(url: str, query: str, take: Take, abandoned: threading.Event) -> None:
    with closing(_rows(url, query)) as remaining:
        while not abandoned.is_set() and (batch := list(islice(remaining, _AT_ONCE))):
            take(batch)


def _rows(url: str, query: str) -> Generator[Row, None, None]:
    if url.startswith(_SQLITE):
        return _sqlite(Path(url.removeprefix(_SQLITE)), query)
    if url.startswith(_POSTGRES):
        from harness.clients import postgres

        return postgres.rows(url, query, _AT_ONCE)
    kind = url.partition(":")[0]
    raise StackError(
        f"effects.sql.url: {kind} is not supported; use sqlite:///FILE or postgresql://USER@HOST:PORT/NAME"
    )


def _sqlite(path: Path, query: str) -> Generator[Row, None, None]:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            for row in connection.execute(query):
                yield dict(row)
    except sqlite3.Error as error:
        raise StackError(f"cannot read effects from {path.parent.name}/{path.name}: {error}") from error
