"""A scratch copy of the Postgres tables that a query reads: temporary tables, which shadow the real ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

import orjson
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from harness.calibrate.planting import NotPlantedError
from harness.calibrate.scratch import RefusedError, Row, undone
from harness.clients.postgres import connected
from harness.errors import StackError


class PostgresScratch:
    """Temporary copies, with their constraints, of the tables that the query reads; nothing is ever committed.

    NotPlantedError if the query would not read the copies: it names a schema, or reads a view. StackError if they cannot be
    made. Call ``close`` last.
    """

    def __init__(self, url: str, query: str) -> None:
        self._query = query.encode()
        self._places: dict[int, str] = {}
        """``id()`` of each returned row -> its ctid, as not every type of value can be compared."""
        self._kept: list[Row] = []
        self._scope = connected(url)
        self._connection = self._scope.__enter__()
        try:
            self._tables = self._copied()
            self._require_read()
        except psycopg.Error as error:
            self.close()
            raise StackError(f"cannot copy what the query reads: {_told(error)}") from error
        except BaseException:
            self.close()
            raise

    def rows(self) -> list[Row]:
        """Run the system's own query on the copies."""
        return list(self._connection.cursor(row_factory=dict_row).execute(self._query))

    def tables(self) -> Sequence[str]:
        """Return the tables that the query reads."""
        return self._tables

    def held(self, table: str, count: int) -> list[Row]:
        """Return up to ``count`` rows of a table, the newest first."""
        wanted = sql.SQL("SELECT ctid::text AS oneffect_place, * FROM {} ORDER BY ctid DESC LIMIT {}")
        cursor = self._connection.cursor(row_factory=dict_row).execute(
            wanted.format(_temporary(table), sql.Literal(count))
        )
        rows: list[Row] = []
        for row in cursor:
            place = str(row.pop("oneffect_place"))
            rows.append(row)
            self._places[id(row)] = place
        self._kept += rows  # so that no other row gets the same id()
        return rows

    def unique(self, table: str) -> Sequence[Sequence[str]]:
        """Return the columns of each unique constraint or index, without expressions."""
        found = self._connection.execute(
            "SELECT array_agg(a.attname::text) FROM pg_index i JOIN pg_attribute a "
            "ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) "
            "WHERE i.indrelid = %s::regclass AND i.indisunique GROUP BY i.indexrelid",
            [_temporary(table).as_string(self._connection)],
        )
        return [columns for (columns,) in found]

    def given(self, table: str) -> Sequence[str]:  # noqa: ARG002 - the copy has no sequences
        """Return nothing: the copies number no columns, as that would advance the real sequences."""
        return []

    def most(self, table: str, column: str) -> object:
        """Return the greatest value of a column; None for a type without an order."""
        wanted = sql.SQL("SELECT max({}) FROM {}").format(sql.Identifier(column), _temporary(table))
        try:
            with self.trial():
                row = self._connection.execute(wanted).fetchone()
        except psycopg.Error:
            return None
        return row[0] if row is not None else None

    def insert(self, table: str, row: Row) -> None:
        """Insert a row; RefusedError if the store refuses it."""
        names = sql.SQL(", ").join(map(sql.Identifier, row))
        values = sql.SQL(", ").join([sql.Placeholder()] * len(row))
        self._change(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(_temporary(table), names, values), [*row.values()]
        )

    def delete(self, table: str, row: Row) -> None:
        """Delete a row from ``held``; RefusedError if the store refuses that."""
        self._change(
            sql.SQL("DELETE FROM {} WHERE ctid = %s::tid").format(_temporary(table)), [self._places[id(row)]]
        )

    def update(self, table: str, row: Row, column: str, value: object) -> None:
        """Change a value of a row from ``held``; RefusedError if the store refuses it."""
        statement = sql.SQL("UPDATE {} SET {} = %s WHERE ctid = %s::tid")
        self._change(statement.format(_temporary(table), sql.Identifier(column)), [value, self._places[id(row)]])

    def trial(self) -> AbstractContextManager[None]:
        """Return a scope whose changes are undone at its end."""
        return undone(lambda statement: self._connection.execute(statement.encode()))

    def close(self) -> None:
        """Throw the copies away."""
        self._connection.rollback()
        self._scope.__exit__(None, None, None)

    def _copied(self) -> list[str]:
        plan = self._connection.execute(b"EXPLAIN (FORMAT JSON, VERBOSE) " + self._query).fetchone()
        read = sorted(set(_relations(orjson.loads(plan[0]) if plan is not None else [])))
        for schema, table in read:
            original = sql.Identifier(schema, table)
            # Without defaults and identities: both would advance the real sequences.
            like = sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {} INCLUDING CONSTRAINTS INCLUDING INDEXES)")
            self._connection.execute(like.format(sql.Identifier(table), original))
            self._connection.execute(sql.SQL("INSERT INTO {} SELECT * FROM {}").format(_temporary(table), original))
        return [table for _, table in read]

    def _require_read(self) -> None:
        with self.trial():
            for table in self._tables:
                self._connection.execute(sql.SQL("DELETE FROM {}").format(_temporary(table)))
            if self.rows():
                raise NotPlantedError("the query names a schema or reads a view, so it would not read a copy")

    def _change(self, statement: sql.Composed, values: list[object]) -> None:
        try:
            self._connection.execute(statement, values)
        except psycopg.Error as error:
            raise RefusedError(_told(error)) from error


def _relations(plan: object) -> Iterator[tuple[str, str]]:
    """Yield the schema and name of each table in a plan."""
    if isinstance(plan, list):
        for one in plan:
            yield from _relations(one)
    elif isinstance(plan, dict):
        if "Relation Name" in plan:
            yield plan["Schema"], plan["Relation Name"]
        for value in plan.values():
            yield from _relations(value)


def _temporary(table: str) -> sql.Identifier:
    return sql.Identifier("pg_temp", table)


def _told(error: psycopg.Error) -> str:
    return error.diag.message_primary or " ".join(str(error).split())
