"""Sums that a service updates in place are read as exact numbers, or not at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from harness.effects import Total
from harness.errors import StackError
from harness.observers.sources import Database
from harness.observers.totals import Totals, amount, exact


def totals(rows: list[dict[str, object]]) -> Totals:
    async def each(_url: str, _query: str, take: Any) -> None:
        take(rows)

    described = {"sql": {"url": "sqlite:////x", "query": "SELECT"}, "adds": "/amount", "by": "/account"}
    return Totals({"purse": Total.model_validate(described)}, {"purse": Database("", "", each)})


async def one_pass(observer: Totals, *, final: bool = False) -> list[tuple[object, object]]:
    return [(row["key"], row["total"]) async for row in observer.read(final=final)]


async def test_interim_passes_give_what_changed_and_the_final_one_all() -> None:
    rows: list[dict[str, object]] = [{"id": "a", "total": 5}, {"id": "b", "total": "7.50"}]
    observer = totals(rows)
    assert await one_pass(observer) == [("a", "5"), ("b", "7.5")]
    rows[0]["total"] = Decimal("6.00")
    assert await one_pass(observer) == [("a", "6")]
    assert await one_pass(observer) == []
    assert await one_pass(observer, final=True) == [("a", "6"), ("b", "7.5")]
    assert observer.counts == {"purse": 3}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12, "12"),
        (-3, "-3"),
        (12.0, "12"),
        (0.1, None),
        (float("nan"), None),
        (True, None),
        (None, None),
        ("12.340", "12.34"),
        ("1E3", "1000"),
        ("many", None),
        (Decimal("-0.10"), "-0.1"),
        ("0.000000000001", "0.000000000001"),
        ("0.0000000000001", None),
        (10**23, "1" + "0" * 23),
        (10**24, None),
        ("1e-999999999", None),
        ("1e999999999", None),
    ],
)
def test_a_number_is_exact_or_none(value: object, text: str | None) -> None:
    assert exact(value) == text


def test_what_an_event_adds_is_read_as_it_is_written() -> None:
    assert amount(b'{"n": 0.1}', "/n") == "0.1"
    assert amount(b'{"n": 100000000000000000.01}', "/n") == "100000000000000000.01"
    assert amount(b'{"n": "0.10"}', "/n") == "0.1"
    assert amount(b'{"m": 1}', "/n") is None
    assert amount(b"\x00", "/n") is None


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"account": "a", "total": 1}], "but no `id`"),
        ([{"id": "a", "balance": 1}], "but no `total`"),
        ([{"id": "a", "total": 1}, {"id": "a", "total": 2}], "two rows have the id a"),
        ([{"id": "a", "total": 0.25}], r"the total of a is 0\.25 \(float\), which is no exact number"),
    ],
)
async def test_what_cannot_be_added_up_is_refused(rows: list[dict[str, object]], says: str) -> None:
    with pytest.raises(StackError, match=rf"effects\.purse\.total: .*{says}"):
        await totals(rows).try_out()
