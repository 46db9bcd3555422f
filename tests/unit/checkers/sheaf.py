"""One DuckDB for many small histories: each query is asked once, of all of them side by side.

Planning a query and setting it up takes nearly all the time that a small history takes. So every table has a column
``h``, the history's number, and a query is asked in a lateral join: for each ``h``, of the rows of that history alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import orjson

from harness.history.cuts import as_rows, cuts
from harness.history.reader import History
from harness.history.records import COLUMNS
from harness.history.views import CONSTANTS, MACROS, TABLES, VIEWS, constants
from tests.histories.builder import Tape

Recorded = tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]
"""A header and its records."""


class Sheaf(History):
    """All of them: the rows of a query say in ``h`` whose they are. ``file`` is what the records pass through."""

    def __init__(self, histories: Sequence[Recorded], file: Path) -> None:
        self.path = file
        self._histories = histories
        self.header = Tape().header  # one that every checker applies to
        self.header["plan"]["checks"]["totals"] = {"purse": {}}
        self._spill = str(file.parent / "spill")
        self._made: dict[str, tuple[str, str]] = {}
        self._duckdb = duckdb.connect(":memory:", config={"threads": 1})
        self._duckdb.execute(MACROS)
        self._duckdb.execute("CREATE SCHEMA whole")
        self._duckdb.execute(f"CREATE TABLE histories AS SELECT range AS h FROM range({len(histories)})")
        lines = ({"h": h, **record} for h, (_, records) in enumerate(histories) for record in records)
        file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines) or b"{}\n")
        columns = {"h": "BIGINT", **COLUMNS}
        self._keep("history", f"SELECT * FROM {self._lines(columns)} WHERE i IS NOT NULL")
        self._made["history"] = "", ""
        for name, described in CONSTANTS.items():
            self._duckdb.execute(f"CREATE TABLE whole.{name} (h BIGINT, {described})")
            self._made[name] = "", described
            rows = [(h, *row) for h, (header, _) in enumerate(histories) for row in constants(header)[name]]
            if rows:
                values = ", ".join(["(" + ", ".join("?" * len(rows[0])) + ")"] * len(rows))
                self._duckdb.execute(f"INSERT INTO whole.{name} VALUES {values}", [v for row in rows for v in row])
        for name, query in TABLES.items():
            self.table(name, query)
        for name, query in VIEWS.items():
            self.view(name, query)

    def sql(self, query: str, **parameters: object) -> list[dict[str, Any]]:
        return super().sql(self._each(query), **parameters)

    def fill(self, name: str, columns: str, rows: Sequence[tuple[object, ...]]) -> None:
        """What is worked out in Python is worked out of each history by itself; ``rows`` are of all at once."""
        assert name == "cuts", f"teach the sheaf to work {name} out"
        own = [(h, *row) for h in range(len(self._histories)) for row in self._cuts(h)]
        self._duckdb.execute(f"CREATE TABLE whole.{name} (h BIGINT, {columns})")
        self._made[name] = "", columns
        if own:
            self._duckdb.executemany(f"INSERT INTO whole.{name} VALUES ({', '.join('?' * len(own[0]))})", own)

    def _cuts(self, h: int) -> list[tuple[object, ...]]:
        header, records = self._histories[h]
        if not any(record["op"] == "wire" for record in records):
            return []
        alone = self.path.with_name(f"{self.path.stem}.{h}.jsonl")
        alone.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in (header, *records)))
        with History(alone) as history:
            return as_rows(cuts(history))

    def drop(self, name: str) -> None:
        self._duckdb.execute(f"DROP TABLE whole.{name}")
        del self._made[name]

    def _make(self, kind: str, name: str, query: str) -> None:
        # A view too: it would be worked out for all of them each time.
        if name not in self._made:
            self._keep(name, self._each(query))
            self._made[name] = kind, query
        assert self._made[name] == (kind, query)

    def _keep(self, name: str, query: str) -> None:
        self._duckdb.execute(f"CREATE TABLE whole.{name} AS {query}")

    def _each(self, query: str) -> str:
        """The query, of each history's rows."""
        own = ", ".join(
            f"{name} AS NOT MATERIALIZED (SELECT * EXCLUDE (h) FROM whole.{name} w WHERE w.h = histories.h)"
            for name in self._made
            if re.search(rf"\b{name}\b", query)
        )
        with_own = f"WITH {own} " if own else ""
        return f"SELECT h, q.* FROM histories CROSS JOIN LATERAL ({with_own}SELECT * FROM ({query})) q"
