"""What a run keeps of each upload until its end: on disk, so that an hour of load costs no memory."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from typing import Final

from harness.errors import FileError

_PAGE: Final = 256
"""Keys read at once."""

_CACHE_KIB: Final = 512

_KEEP: Final = (
    "INSERT INTO kept VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value WHERE excluded.value IS NOT NULL"
)


class DiskMap:
    """Strings, each with some bytes or none, in a file without a name that goes with ``close`` or the process."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute("CREATE TABLE kept (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")

    def keep(self, key: str, value: bytes | None = None) -> None:
        """Keep a string; a value takes the place of the one before, none does not. FileError if it cannot be written."""
        try:
            self._db.execute(_KEEP, (_stored(key), value))
        except sqlite3.OperationalError as error:
            place = os.environ.get("SQLITE_TMPDIR") or os.environ.get("TMPDIR") or "/var/tmp"  # noqa: S108 - SQLite's choice
            raise FileError(
                f"no temporary file can be written: {error}; make room, or name another in TMPDIR", path=place
            ) from error

    def get(self, key: str) -> bytes | None:
        """The value that is kept with it; None without one."""
        found = self._db.execute("SELECT value FROM kept WHERE key = ?", (_stored(key),)).fetchone()
        return found[0] if found is not None else None

    def __contains__(self, key: str) -> bool:
        return self._db.execute("SELECT 1 FROM kept WHERE key = ?", (_stored(key),)).fetchone() is not None

    def __iter__(self) -> Iterator[str]:
        """Every string, in order; some may be added meanwhile."""
        after = None
        while True:
            where, given = ("WHERE key > ?", (after,)) if after is not None else ("", ())
            rows = self._db.execute(f"SELECT key FROM kept {where} ORDER BY key LIMIT {_PAGE}", given).fetchall()  # noqa: S608
            if not rows:
                return
            for (after,) in rows:
                yield after.decode("utf-8", "surrogatepass")

    def close(self) -> None:
        """Let the file go."""
        self._db.close()


def _stored(key: str) -> bytes:
    """A name that came from the system under test may be no text that SQLite takes."""
    return key.encode("utf-8", "surrogatepass")
