"""A key-value store on disk for what a run must remember of each upload: an hour of load then costs no memory."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from typing import Final

from harness.errors import FileError

_PAGE: Final = 256
"""Keys fetched at a time by iteration."""

_CACHE_KIB: Final = 512

_KEEP: Final = (
    "INSERT INTO kept VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value WHERE excluded.value IS NOT NULL"
)


class DiskMap:
    """Strings with optional bytes, in an unnamed temporary file that ``close`` or the end of the process removes."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("CREATE TABLE kept (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")

    def keep(self, key: str, value: bytes | None = None) -> None:
        """Store a key. A new value replaces the old one; None leaves it. Raises FileError if writing fails."""
        try:
            self._db.execute(_KEEP, (_stored(key), value))
        except sqlite3.OperationalError as error:
            place = os.environ.get("SQLITE_TMPDIR") or os.environ.get("TMPDIR") or "/var/tmp"  # noqa: S108 - SQLite's choice
            raise FileError(
                f"cannot write a temporary file: {error}; make room, or set TMPDIR to another folder", path=place
            ) from error

    def get(self, key: str) -> bytes | None:
        """Return the value of a key, or None."""
        row = self._db.execute("SELECT value FROM kept WHERE key = ?", (_stored(key),)).fetchone()
        return row[0] if row is not None else None

    def __contains__(self, key: str) -> bool:
        return self._db.execute("SELECT 1 FROM kept WHERE key = ?", (_stored(key),)).fetchone() is not None

    def __iter__(self) -> Iterator[str]:
        """Yield every key in order; keys may be added meanwhile."""
        after = None
        while True:
            where, given = ("WHERE key > ?", (after,)) if after is not None else ("", ())
            rows = self._db.execute(f"SELECT key FROM kept {where} ORDER BY key LIMIT {_PAGE}", given).fetchall()  # noqa: S608
            if not rows:
                return
            for (after,) in rows:
                yield after.decode("utf-8", "surrogatepass")

    def close(self) -> None:
        """Delete the temporary file."""
        self._db.close()


def _stored(key: str) -> bytes:
    """Encode a key: names from the system under test may hold lone surrogates, which SQLite rejects as text."""
    return key.encode("utf-8", "surrogatepass")
