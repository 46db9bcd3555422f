"""A scratch copy of a service's database, in which rows are changed; the database itself is only read."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from harness.errors import StackError

Row = dict[str, object]
"""Column -> value."""


class RefusedError(Exception):
    """The store refuses a change; the message is the store's."""


@contextmanager
def undone(execute: Callable[[str], object]) -> Iterator[None]:
    """Undo the scope's changes at its end, on the connection whose ``execute`` is given; trials do not nest."""
    execute("SAVEPOINT trial")
    try:
        yield
    finally:
        execute("ROLLBACK TO trial")
        execute("RELEASE trial")


class Scratch(Protocol):
    """A copy of the data that a query reads, on which the query can be run."""

    def rows(self) -> list[Row]:
        """Run the system's own query on the copy."""

    def tables(self) -> Sequence[str]:
        """Return the copied tables that the query reads."""

    def held(self, table: str, count: int) -> list[Row]:
        """Return up to ``count`` rows of a table, each with every column that is stored."""

    def unique(self, table: str) -> Sequence[Sequence[str]]:
        """Return the columns of each unique constraint."""

    def given(self, table: str) -> Sequence[str]:
        """Return the columns that the store numbers itself."""

    def most(self, table: str, column: str) -> object:
        """Return the greatest value of a column."""

    def insert(self, table: str, row: Row) -> None:
        """Insert a row; RefusedError if the store refuses it."""

    def delete(self, table: str, row: Row) -> None:
        """Delete a row; RefusedError if the store refuses that."""

    def update(self, table: str, row: Row, column: str, value: object) -> None:
        """Change a value of a row; RefusedError if the store refuses it."""

    def trial(self) -> AbstractContextManager[None]:
        """Return a scope whose changes are undone at its end."""

    def close(self) -> None:
        """Throw the copy away."""


class SqliteScratch:
    """A copy of a whole SQLite file, at ``copy``, which must not exist; StackError if it cannot be made."""

    def __init__(self, source: Path, copy: Path, query: str) -> None:
        self._query = query
        self._copy = copy
        try:
            # Autocommit, so that only savepoints decide what stays; used by one thread at a time.
            self._connection = sqlite3.connect(copy, isolation_level=None, check_same_thread=False)
            with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as original:
                original.backup(self._connection)
        except sqlite3.Error as error:
            raise StackError(f"cannot copy {source.parent.name}/{source.name}: {error}") from error
        self._connection.row_factory = sqlite3.Row

    def rows(self) -> list[Row]:
        """Run the system's own query on the copy."""
        return self._all(self._query)

    def tables(self) -> Sequence[str]:
        """Return the tables that the query reads, also through a view."""
        read: set[str] = set()

        def note(action: int, table: str | None, *_: object) -> int:
            if action == sqlite3.SQLITE_READ and table:
                read.add(table)
            return sqlite3.SQLITE_OK

        self._connection.set_authorizer(note)
        try:
            # The comment makes it a new statement: SQLite asks the authorizer only when it compiles one.
            self._all(f"-- what it reads\n{self._query}")
        finally:
            self._connection.set_authorizer(None)
        stored = {str(row["name"]) for row in self._all("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return sorted(read & stored)

    def held(self, table: str, count: int) -> list[Row]:
        """Return up to ``count`` rows of a table, the newest if it numbers them."""
        names = [str(row["name"]) for row in self._all(f"PRAGMA table_xinfo({_quoted(table)})") if not row["hidden"]]
        chosen = f"SELECT {', '.join(map(_quoted, names))} FROM {_quoted(table)}"
        with suppress(sqlite3.OperationalError):
            return self._all(f"{chosen} ORDER BY rowid DESC LIMIT {count}")
        return self._all(f"{chosen} LIMIT {count}")  # WITHOUT ROWID

    def unique(self, table: str) -> Sequence[Sequence[str]]:
        """Return the columns of each unique constraint, without expressions."""
        found = [self._key(table)]
        for index in self._all(f"PRAGMA index_list({_quoted(table)})"):
            if index["unique"]:
                columns = self._all(f"PRAGMA index_info({_quoted(str(index['name']))})")
                found.append([str(column["name"]) for column in columns if column["name"] is not None])
        return [columns for columns in found if columns]

    def given(self, table: str) -> Sequence[str]:
        """Return the INTEGER PRIMARY KEY, which SQLite numbers."""
        declared = {str(row["name"]): str(row["type"]) for row in self._all(f"PRAGMA table_info({_quoted(table)})")}
        key = self._key(table)
        return key if len(key) == 1 and declared[key[0]].upper() == "INTEGER" else []

    def most(self, table: str, column: str) -> object:
        """Return the greatest value of a column."""
        return self._all(f"SELECT max({_quoted(column)}) AS most FROM {_quoted(table)}")[0]["most"]

    def insert(self, table: str, row: Row) -> None:
        """Insert a row; RefusedError if the store refuses it."""
        names = ", ".join(map(_quoted, row))
        self._change(
            f"INSERT INTO {_quoted(table)} ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values())
        )

    def delete(self, table: str, row: Row) -> None:
        """Delete a row; RefusedError if the store refuses that."""
        self._change(f"DELETE FROM {_quoted(table)} WHERE {_same(row)}", list(row.values()))

    def update(self, table: str, row: Row, column: str, value: object) -> None:
        """Change a value of a row; RefusedError if the store refuses it."""
        self._change(f"UPDATE {_quoted(table)} SET {_quoted(column)} = ? WHERE {_same(row)}", [value, *row.values()])

    def trial(self) -> AbstractContextManager[None]:
        """Return a scope whose changes are undone at its end."""
        return undone(self._connection.execute)

    def close(self) -> None:
        """Throw the copy away."""
        self._connection.close()
        self._copy.unlink(missing_ok=True)

    def _key(self, table: str) -> list[str]:
        columns = self._all(f"PRAGMA table_info({_quoted(table)})")
        return [
            str(row["name"]) for row in sorted(columns, key=lambda row: int(str(row["pk"]))) if int(str(row["pk"]))
        ]

    def _all(self, statement: str) -> list[Row]:
        return [dict(row) for row in self._connection.execute(statement)]

    def _change(self, statement: str, values: list[object]) -> None:
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise RefusedError(str(error)) from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _same(row: Row) -> str:
    return " AND ".join(f"{_quoted(name)} IS ?" for name in row)
