"""Whether a total and the effects beside it are in one store, so that each shows what the other hides."""

from typing import Any

import pytest

from harness.effects import Effects

SQL = {"url": "sqlite:///{data}/db", "query": "SELECT 1"}
ELSEWHERE = {**SQL, "url": "sqlite:///{data}/other"}
KEYS = {"keys": "bills:*", "id": "/id"}
SUMS = {"keys": "sum:{id}"}


@pytest.mark.parametrize(
    ("effects", "total", "apart"),
    [
        ({"sql": SQL}, {"sql": SQL}, False),
        ({"sql": SQL}, {"sql": ELSEWHERE}, True),
        ({"topic": {"name": "receipts", "id": "/id"}}, {"sql": SQL}, True),
        ({"redis": KEYS}, {"redis": SUMS}, False),
        ({"redis": KEYS}, {"redis": {**SUMS, "database": 1}}, True),
        ({"redis": KEYS}, {"sql": SQL}, True),
        ({}, {"sql": SQL}, False),
        ({"sql": SQL}, None, False),
    ],
)
def test_two_stores_do_not_commit_together(*, effects: Any, total: Any, apart: bool) -> None:
    described = {"total": {**total, "adds": "/sum", "by": "/account"}} if total else {}
    assert Effects.model_validate({"applies": ["paid"], **effects, **described}).apart is apart
