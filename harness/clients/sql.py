"""Reads effects out of a service's database, past the proxies and without touching it; makes and drops databases."""

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
"""Rows that are held at once: a long run has very many."""


Row = dict[str, object]
"""Column -> value."""

Take = Callable[[list[Row]], None]
"""Is given some of the rows, beside the event loop."""


async def each(url: str, query: str, take: Take) -> None:
    """Give ``take`` every row of ``query`` at ``url`` (``sqlite:////file``, ``postgresql://…``), as column -> value.

    StackError if it cannot be read. Opened read-only for each look: an observer never holds a lock the system meets.
    """
    abandoned = threading.Event()
    try:
        await asyncio.to_thread(_give, url, query, take, abandoned)
    finally:
        abandoned.set()


async def rows(url: str, query: str) -> list[Row]:
    """Every row of a query whose answer is small."""
    found: list[Row] = []
    await each(url, query, found.extend)
    return found


async def create(server: str, database: str) -> None:
    """Make an empty database; ``server`` is a URL of another one there. StackError if it cannot be made."""
    from harness.clients import postgres

    await asyncio.to_thread(postgres.execute, server, f'CREATE DATABASE "{database}"')


async def drop(server: str, database: str) -> None:
    """Drop a database if it is there, whoever is connected to it; StackError if it cannot be dropped."""
    from harness.clients import postgres

    await asyncio.to_thread(postgres.execute, server, f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


def _give(url: str, query: str, take: Take, abandoned: threading.Event) -> None:
    with closing(_rows(url, query)) as found:
        while not abandoned.is_set() and (some := list(islice(found, _AT_ONCE))):
            take(some)


def _rows(url: str, query: str) -> Generator[Row, None, None]:
    if url.startswith(_SQLITE):
        return _sqlite(Path(url.removeprefix(_SQLITE)), query)
    if url.startswith(_POSTGRES):
        from harness.clients import postgres

        return postgres.rows(url, query, _AT_ONCE)
    kind = url.partition(":")[0]
    message = f"effects.sql.url: {kind} cannot be read; known are sqlite:///FILE and postgresql://USER@HOST:PORT/NAME"
    raise StackError(message)


def _sqlite(path: Path, query: str) -> Generator[Row, None, None]:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            for row in connection.execute(query):
                yield dict(row)
    except sqlite3.Error as error:
        message = f"effects cannot be read from {path.name} of {path.parent.name}: {error}"
        raise StackError(message) from error
