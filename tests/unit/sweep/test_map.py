"""What a cell says of its last run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.reports.case import Case
from harness.sweep.lineage import ACTIONS, LeftOut, Step
from harness.sweep.map import Cell, Map
from harness.sweep.page import page
from harness.taps.event import Event

STEP = Step("redis", "SET", "claim:*", 1, 9)
OWN = Event(frozenset({"e-1", "up-1"}))


def cell(*bit: bool, anomalies: dict[str, Any] | None = None, event: Event | None = OWN, pair: bool = False) -> Cell:
    faults = [{"name": "service.kill", **({"bit": 1} if one else {})} for one in bit]
    findings = [{"checker": "exactly one effect", "anomalies": anomalies or {}}]
    document: Any = {"verdict": "invalid" if anomalies else "valid", "faults": faults, "findings": findings}
    case = Case("m01", None, Path("m01.yaml"), 1.0, document=document)
    return Cell(STEP, ACTIONS[1], Path("m01.yaml"), [case], (STEP, ACTIONS[0]) if pair else None, event)


def told(*ids: str, count: int | None = None, kind: str = "event") -> dict[str, Any]:
    return {"count": len(ids) if count is None else count, "told": [{"kind": kind, "id": one} for one in ids]}


@pytest.mark.parametrize(
    ("anomalies", "said"),
    [
        ({"lost": told("e-1")}, "invalid: lost"),
        ({"lost": told("e-2"), "duplicate": told("e-3", "e-1")}, "invalid: duplicate, at other events lost"),
        ({"lost": told("e-2"), "duplicate": told("e-3")}, "invalid: at other events lost and duplicate"),
        ({"lost": told("e-2", count=30)}, "invalid: lost"),  # nobody knows what the others are
        ({"lost": told("up-2", kind="upload")}, "invalid: lost"),
    ],
)
def test_what_was_found_at_its_own_event_and_what_at_others_alone(anomalies, said) -> None:
    assert cell(True, anomalies=anomalies).said == said


def test_without_a_known_event_nothing_is_told_apart() -> None:
    assert cell(True, anomalies={"lost": told("e-2")}, event=None).said == "invalid: lost"


@pytest.mark.parametrize(
    ("bit", "said"),
    [
        ((True, True), "valid"),
        ((True, False), "unknown: the message of the second fault never came"),
        ((False, False), "unknown: the message of either fault never came"),
    ],
)
def test_a_pair_counts_only_if_both_faults_acted(bit, said) -> None:
    assert cell(*bit, pair=True).said == said


ELSEWHERE = "SET claim:e-1:done on ledger#1->redis"


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize(
    ("anomalies", "more"), [(None, ""), ({"lost": told("e-1")}, "; the run is invalid all the same")]
)
def test_a_fault_that_acted_at_another_message_shows_nothing_of_its_own(pair, anomalies, more) -> None:
    one = cell(True, True, pair=pair, anomalies=anomalies)
    one.astray = ELSEWHERE
    assert (one.met, one.verdict) == (False, "unknown")
    assert one.said == f"unknown: it acted at another message, {ELSEWHERE}{more}"
    assert one.document()["astray"] == ELSEWHERE


def test_a_single_fault_counts_if_it_acted() -> None:
    assert cell(True).said == "valid"
    assert cell(False).said == "unknown: its message never came"


def test_what_was_not_tried_is_said() -> None:
    made = Map([cell(True)] * len(ACTIONS), [LeftOut("kafka", "Fetch", 9), LeftOut("redis", "GET", 8)])
    said = "not tried, as nothing tells whether an event caused it: kafka: Fetch (with 9 events), redis: GET (with 8 events)"
    assert made.left == said
    assert said in page(made, "sweep", Path())
    assert "not tried" not in page(Map(made.cells), "sweep", Path())
