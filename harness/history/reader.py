"""Reads a history: one typed table, views over it, and SQL."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from harness.errors import FileError, OneffectError
from harness.history.records import COLUMNS, FORMAT
from harness.history.views import CONSTANTS, MACROS, TABLES, VIEWS, constants

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CACHE_FROM: Final = 8 * 1024 * 1024
"""Bytes. A smaller history reads as fast as its copy would, so none is made."""

MEMORY: Final = "800MB"
"""Memory of queries before they spill to disk, on top of the process's own."""

THREADS: Final = 4
"""For a history of CACHE_FROM bytes or more: one thread answers many queries about few rows sooner than several do."""


class History:
    """A recorded run. ``header`` is its first line; ``complete`` says whether the run came to its end.

    The table ``history`` has the columns of ``records.COLUMNS``; views.py describes the views. A last line torn by a
    kill is left out. FileError for a file that is not a history, or is damaged elsewhere.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: Mapping[str, Any] = read_header(path)
        self._made: dict[str, tuple[str, str]] = {}
        # Created on first use, so that a killed reader seldom leaves anything behind.
        self._spill = str(Path(tempfile.gettempdir()) / f"oneffect-{os.getpid()}-{id(self):x}")
        self._duckdb = _connect(self._spill, THREADS if path.stat().st_size >= CACHE_FROM else 1)
        try:
            self._load()
            self._describe()
            last = self._duckdb.execute("SELECT op, phase FROM history ORDER BY i DESC LIMIT 1").fetchone()
        except BaseException:
            self.close()
            raise
        self.complete: bool = last == ("run", "finished")

    def sql(self, query: str, **parameters: object) -> list[dict[str, Any]]:
        """Return the rows of a query; ``$name`` stands for a parameter. JSON columns are decoded."""
        result = self._duckdb.execute(query, parameters or None)
        names = [column[0] for column in result.description]
        documents = [column[0] for column in result.description if str(column[1]) == "JSON"]
        rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
        for row in rows if documents else ():
            row.update({name: orjson.loads(row[name]) for name in documents if row[name] is not None})
        return rows

    def table(self, name: str, query: str) -> None:
        """Store a query's rows as a table; the same call again does nothing."""
        self._make("TABLE", name, query)

    def view(self, name: str, query: str) -> None:
        """Name a query as a view; the same call again does nothing."""
        self._make("VIEW", name, query)

    def fill(self, name: str, columns: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Store rows of the caller's own as a table with these columns; the same call again does nothing."""
        if name in self._made:
            return
        self._duckdb.execute(f"CREATE TABLE {name} ({columns})")
        self._made[name] = "TABLE", columns
        if rows:
            places = ", ".join("?" * len(rows[0]))
            self._duckdb.executemany(f"INSERT INTO {name} VALUES ({places})", rows)

    def drop(self, name: str) -> None:
        """Drop a table or view, and free its memory."""
        kind, _ = self._made.pop(name)
        self._duckdb.execute(f"DROP {kind} {name}")

    def _make(self, kind: str, name: str, query: str) -> None:
        if name not in self._made:
            self._duckdb.execute(f"CREATE {kind} {name} AS {query}")
            self._made[name] = kind, query
        elif self._made[name] != (kind, query):
            raise OneffectError(f"{name}: another table has this name; give this one a name of its own")

    def close(self) -> None:
        """Free the memory, and remove what was spilled to disk."""
        self._duckdb.close()
        shutil.rmtree(self._spill, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _load(self) -> None:
        status = self.path.stat()
        if status.st_size < CACHE_FROM:
            self._duckdb.execute(f"CREATE TABLE history AS SELECT * FROM {self._lines()}")
            self._refuse_damage("history")
            self._duckdb.execute("DELETE FROM history WHERE i IS NULL")
            return
        cache = self.path.with_suffix(".parquet")
        stamp = hashlib.sha256(orjson.dumps([status.st_size, status.st_mtime_ns, COLUMNS])).hexdigest()
        if self._stamp(cache) != stamp:
            cache = self._cached(cache, stamp)
        self._duckdb.execute(
            f"CREATE VIEW history AS SELECT * FROM read_parquet({_quoted(cache)}) WHERE i IS NOT NULL"
        )
        self._refuse_damage(f"read_parquet({_quoted(cache)})")

    def _describe(self) -> None:
        """Create the tables and views that queries build on."""
        self._duckdb.execute(MACROS)
        for name, rows in constants(self.header).items():
            self.fill(name, CONSTANTS[name], rows)
        for name, query in TABLES.items():
            self.table(name, query)
        for name, query in VIEWS.items():
            self.view(name, query)

    def _lines(self, columns: Mapping[str, str] = COLUMNS) -> str:
        """Return SQL for the file's rows: ``i`` is null if a line is no record, other values if of a wrong type."""
        typed = ", ".join(f"{_quoted(name)}: {_quoted(kind)}" for name, kind in columns.items())
        return (
            f"read_json({_quoted(self.path)}, format = 'newline_delimited', ignore_errors = true, "
            f"columns = {{{typed}}})"
        )

    def _cached(self, cache: Path, stamp: str) -> Path:
        """Write the copy beside the file or, where that is not allowed, for this reader only."""
        folder = cache.parent if os.access(cache.parent, os.W_OK) else Path(self._spill)
        folder.mkdir(exist_ok=True)
        partial = folder / f".{cache.name}.{os.getpid()}"
        # Ids and hashes neither compress nor repeat: not trying to saves a third of the time.
        options = "COMPRESSION uncompressed, DICTIONARY_SIZE_LIMIT 1000, PARQUET_VERSION V2"
        metadata = f"KV_METADATA {{oneffect: {_quoted(stamp)}}}"
        self._duckdb.execute(
            f"COPY (SELECT * FROM {self._lines()}) TO {_quoted(partial)} (FORMAT parquet, {options}, {metadata})"
        )
        return partial.replace(folder / cache.name)

    def _stamp(self, cache: Path) -> str | None:
        import duckdb

        if not cache.is_file():
            return None
        try:
            row = self._duckdb.execute(
                f"SELECT decode(value) FROM parquet_kv_metadata({_quoted(cache)}) WHERE decode(key) = 'oneffect'"
            ).fetchone()
        except duckdb.Error:  # half a file, or not one of ours
            return None
        return str(row[0]) if row else None

    def _refuse_damage(self, rows: str) -> None:
        """Raise FileError for a line without ``i``, except for the header and a torn last line."""
        row = self._duckdb.execute(f"SELECT count(*) FROM {rows} WHERE i IS NULL").fetchone()
        if row is not None and row[0] - 1 > _torn(self.path):
            line = _damaged(self.path)
            message = "is not a record; restore the line, or cut the file off before it"
            raise FileError(message, path=str(self.path), line=line)


def _connect(spill: str, threads: int) -> DuckDBPyConnection:
    import duckdb

    return duckdb.connect(
        ":memory:",
        config={
            "threads": min(threads, os.cpu_count() or 1),
            "memory_limit": MEMORY,
            "temp_directory": spill,
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
        },
    )


def read_header(path: Path) -> Mapping[str, Any]:
    """Return a history's first line; FileError if the file is not a history of this format."""
    try:
        with path.open("rb") as file:
            line = file.readline()
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}; name a history.jsonl", path=str(path)) from error
    if not line:
        raise FileError("is empty: the run was killed before it began; run it again", path=str(path))
    try:
        header = orjson.loads(line)
    except orjson.JSONDecodeError:
        header = None
    if not isinstance(header, dict) or "oneffect_history" not in header:
        raise FileError("has no header; the first line of a history is one", path=str(path), line=1)
    if header["oneffect_history"] != FORMAT:
        raise FileError(
            f"is of format {header['oneffect_history']}, this oneffect reads {FORMAT}; use the one that recorded it"
            + (f" ({header['versions'].get('oneffect')})" if isinstance(header.get("versions"), dict) else ""),
            path=str(path),
            line=1,
        )
    return header


def _torn(path: Path) -> int:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return int(file.read(1) != b"\n")


def _damaged(path: Path) -> int:
    """Return the number of the first line that is not a record."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1 or not line.strip():
                continue
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError:
                return number
            if not isinstance(record, dict) or not isinstance(record.get("i"), int):
                return number
    return number


def _quoted(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"
