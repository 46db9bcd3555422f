"""What is planted in a scratch copy, for queries and tables of many kinds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from harness.calibrate.copies import _Damaged
from harness.calibrate.planting import NotPlantedError, double, lose, raise_total
from harness.calibrate.scratch import SqliteScratch
from harness.clients.http import Blob

Make = Callable[[str, str], SqliteScratch]

BILLS = """
CREATE TABLE inbox (event TEXT PRIMARY KEY);
CREATE TABLE bills (number INTEGER PRIMARY KEY, event TEXT, cents INT);
INSERT INTO inbox VALUES ('e1'), ('e2');
INSERT INTO bills VALUES (1, 'e1', 10), (2, 'e2', 20);
CREATE VIEW billed AS SELECT event, number FROM bills;
"""
PLAIN = "SELECT event AS id, number AS effect FROM bills"


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Make]:
    made: list[SqliteScratch] = []

    def make(tables: str, query: str) -> SqliteScratch:
        with closing(sqlite3.connect(tmp_path / "db")) as database:
            database.executescript(tables)
        made.append(SqliteScratch(tmp_path / "db", tmp_path / "copy", query))
        return made[-1]

    yield make
    for one in made:
        one.close()
    assert not (tmp_path / "copy").exists()


def known(named: object) -> bool:
    return str(named).startswith("e")


def ids(scratch: SqliteScratch) -> list[str]:
    return sorted(str(row["id"]) for row in scratch.rows())


@pytest.mark.parametrize(
    "query",
    [
        PLAIN,
        "SELECT event AS id, number AS effect FROM billed",
        "SELECT i.event AS id, b.number AS effect FROM inbox i JOIN bills b USING (event)",
        "SELECT event AS id, 'n' || number AS effect FROM bills WHERE cents > 0",
    ],
)
def test_a_row_is_deleted_or_copied_whatever_the_query(scratch: Make, query: str, tmp_path: Path) -> None:
    copy = scratch(BILLS, query)
    with copy.trial():
        assert lose(copy, known).id == "e2"
        assert ids(copy) == ["e1"]
    assert double(copy, known).said == "a row of bills copied"
    assert ids(copy) == ["e1", "e2", "e2"]
    assert len({row["effect"] for row in copy.rows()}) == 3
    with closing(sqlite3.connect(tmp_path / "db")) as database:
        assert database.execute("SELECT count(*) FROM bills").fetchone() == (2,)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT event AS id, min(number) AS effect FROM bills GROUP BY event",
        "SELECT DISTINCT event AS id, (SELECT min(number) FROM bills o WHERE o.event = b.event) AS effect FROM bills b",
    ],
)
def test_a_copy_that_the_query_hides_is_made_all_the_same(scratch: Make, query: str) -> None:
    copy = scratch(BILLS, query)
    double(copy, known)
    assert ids(copy) == ["e1", "e2"]
    copy._query = PLAIN
    assert ids(copy) == ["e1", "e2", "e2"]


@pytest.mark.parametrize(
    "table",
    [
        "CREATE TABLE bills (event TEXT PRIMARY KEY, number TEXT UNIQUE)",
        "CREATE TABLE bills (event TEXT PRIMARY KEY, number TEXT) WITHOUT ROWID",
        "CREATE TABLE bills (number INTEGER PRIMARY KEY, event TEXT UNIQUE)",
    ],
)
def test_a_store_that_refuses_a_second_row_is_not_one_that_hides_it(scratch: Make, table: str) -> None:
    copy = scratch(f"{table}; INSERT INTO bills (event, number) VALUES ('e1', '7')", PLAIN)
    with pytest.raises(NotPlantedError, match="refuses a second row"):
        double(copy, known)
    assert ids(copy) == ["e1"]


def test_a_row_of_another_consumer_is_no_second_effect(scratch: Make) -> None:
    tables = "CREATE TABLE bills (event TEXT, who TEXT, number TEXT, PRIMARY KEY (event, who)); "
    query = "SELECT event AS id, number AS effect FROM bills WHERE who = 'me'"
    copy = scratch(f"{tables} INSERT INTO bills VALUES ('e1', 'me', 'x')", query)
    with pytest.raises(NotPlantedError, match="only under another who"):
        double(copy, known)


def test_effects_of_other_runs_are_left_alone(scratch: Make) -> None:
    copy = scratch(BILLS, PLAIN)
    for plant in (lose, double):
        with pytest.raises(NotPlantedError, match="no single row of bills"):
            plant(copy, lambda _: False)
    assert ids(copy) == ["e1", "e2"]


def test_one_total_is_raised(scratch: Make) -> None:
    tables = "CREATE TABLE accounts (account TEXT PRIMARY KEY, cents INT); INSERT INTO accounts VALUES ('e1', 5), ('e2', 7)"
    copy = scratch(tables, "SELECT account AS id, printf('%.2f', cents / 100.0) AS total FROM accounts")
    planted = raise_total(copy, known, Decimal("3.5"))
    totals = {row["id"]: row["total"] for row in copy.rows()}
    assert totals == {"e1": "0.05", "e2": "0.07"} | {planted.id: "0.10" if planted.id == "e2" else "0.08"}


def test_a_copy_that_is_no_effect_by_itself_is_no_second_one(scratch: Make) -> None:
    """The store takes one bill an order, and what names the order is all that joins it with its event."""
    copy = scratch(
        "CREATE TABLE orders (id TEXT PRIMARY KEY, event TEXT UNIQUE);"
        "CREATE TABLE bills (number INTEGER PRIMARY KEY, order_id TEXT UNIQUE);"
        "INSERT INTO orders VALUES ('o1', 'e1'), ('o2', 'e2'); INSERT INTO bills VALUES (1, 'o1'), (2, 'o2');",
        "SELECT o.event AS id, b.number AS effect FROM bills b JOIN orders o ON o.id = b.order_id",
    )
    with pytest.raises(NotPlantedError, match="bills: the store takes a second row only apart from its event"):
        double(copy, known)


async def test_one_blob_is_damaged_whenever_it_is_read() -> None:
    async def blob(url: str, spoil: Callable[[bytes], bytes]) -> Blob:
        return Blob("present", sha256=spoil(b"" if url == "empty" else b"x").hex())

    damaged = _Damaged(blob)
    read = [(await damaged.blob(url)).sha256 for url in ("empty", "b1", "b2", "b1")]
    assert read == ["", b"y".hex(), b"x".hex(), b"y".hex()]
