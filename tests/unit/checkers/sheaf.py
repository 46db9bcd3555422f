"""One DuckDB for thousands of small histories: each query is planned once, its tables are filled anew for each.

Planning takes most of the time that a small history takes. Plans are made without the optimiser, for it looks at the
data that is there when a plan is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import orjson

from harness.checkers.judge import judge
from harness.history.reader import History
from harness.history.records import COLUMNS
from harness.history.views import CONSTANTS, MACROS, TABLES, VIEWS, constants
from tests.histories.builder import Tape


class Sheaf(History):
    """Stands for one history at a time; ``load`` turns to the next. ``file`` is where its records pass through."""

    def __init__(self, file: Path) -> None:
        self.path = file
        self._spill = str(file.parent / "spill")
        self._duckdb = duckdb.connect(":memory:", config={"threads": 1})
        self._duckdb.execute("PRAGMA disable_optimizer")
        self._duckdb.execute(MACROS)
        columns = ", ".join(f'"{name}" {kind}' for name, kind in COLUMNS.items())
        self._duckdb.execute(f"CREATE TABLE history ({columns})")
        for name, described in CONSTANTS.items():
            self._duckdb.execute(f"CREATE TABLE {name} ({described})")
        self._plans: dict[str, str] = {}
        self._tables: dict[str, str] = {}
        self._made: dict[str, str] = {}
        # A history that all checkers apply to has them make every table and plan. It is never filled in for good:
        # what is deleted would be skipped over by every query after it, what is rolled back is gone.
        self._duckdb.execute("BEGIN")
        self._planning = True
        self.load(Tape().header, [])
        assert len(judge(self)) == 4
        self._duckdb.execute("COMMIT")
        self._planning = False
        self._duckdb.execute("BEGIN")

    def load(self, header: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        """Turn to this history."""
        self.header = header
        self.path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records) or b"{}\n")
        if not self._planning:
            self._duckdb.execute("ROLLBACK")
            self._duckdb.execute("BEGIN")
            self._duckdb.execute(f"INSERT INTO history SELECT * FROM {self._lines()} WHERE i IS NOT NULL")
        for name, rows in constants(header).items():
            self._fill(name, rows)
        for name, query in TABLES.items():
            self.table(name, query)
        for name, query in VIEWS.items():
            self.view(name, query)

    def sql(self, query: str, **parameters: object) -> list[dict[str, Any]]:
        assert not parameters
        result = self._duckdb.execute(f"EXECUTE {self._plan(query)}")
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def table(self, name: str, query: str) -> None:
        if name not in self._tables:
            self._duckdb.execute(f"CREATE TABLE {name} AS {query} LIMIT 0")
            self._tables[name] = query
        assert self._tables[name] == query
        # Most tables hold what is out of order, and so are empty; and a plan that inserts is not kept by DuckDB.
        self._fill(name, self._duckdb.execute(f"EXECUTE {self._plan(query)}").fetchall())

    def _fill(self, name: str, rows: Sequence[Sequence[object]]) -> None:
        if rows and not self._planning:
            values = ", ".join("(" + ", ".join(map(literal, row)) + ")" for row in rows)
            self._duckdb.execute(f"INSERT INTO {name} VALUES {values}")

    def _plan(self, statement: str) -> str:
        if statement not in self._plans:
            assert self._planning
            name = f"plan{len(self._plans)}"
            self._duckdb.execute(f"PREPARE {name} AS {statement}")
            self._plans[statement] = name
        return self._plans[statement]


def literal(value: object) -> str:
    """A value as SQL."""
    match value:
        case None:
            return "NULL"
        case bool() | int() | float():
            return str(value)
        case list():
            return "[" + ", ".join(map(literal, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{literal(name)}: {literal(one)}" for name, one in value.items()) + "}"
        case _:
            return "'" + str(value).replace("'", "''") + "'"
