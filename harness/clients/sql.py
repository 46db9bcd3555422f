"""Reads effects out of a service's database, past the proxies and without touching it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from harness.errors import StackError

_SQLITE = "sqlite:///"


async def rows(url: str, query: str) -> list[dict[str, object]]:
    """Every row of ``query`` at ``url`` (``sqlite:////file``) as column -> value; StackError if it cannot be read.

    The database is opened read-only for each look, in a thread: an observer never holds a lock the system meets.
    """
    if not url.startswith(_SQLITE):
        message = f"effects.sql.url: {url.partition(':')[0]} cannot be read; known is sqlite:///FILE"
        raise StackError(message)
    return await asyncio.to_thread(_sqlite, Path(url.removeprefix(_SQLITE)), query)


def _sqlite(path: Path, query: str) -> list[dict[str, object]]:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]
    except sqlite3.Error as error:
        message = f"effects cannot be read from {path.name} of {path.parent.name}: {error}"
        raise StackError(message) from error
