"""What a replica waited for when it was struck."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.history.reader import History
from harness.shrink.in_hand import in_hand
from tests.unit.shrink.conftest import candidate

REDIS, DOOR = "ledger#1->redis", "ledger#1->shop"
KILL = "{fault: service.kill, on: 'ledger#1', at: 25%, for: 500ms}"
PAUSE = "{fault: service.pause, on: ledger, at: 2s, for: 500ms}"


@pytest.fixture
def recorded(tmp_path: Path):
    def write(*records: dict[str, Any]) -> Path:
        faults = [
            {"id": "f1", "fault": "service.kill", "target": "ledger#2", "at": "25%"},
            {"id": "f2", "fault": "service.kill", "target": "ledger#1", "at": "25%"},
            {"id": "f3", "fault": "service.pause", "target": "ledger#1", "at": 2.0},
        ]
        header = {"oneffect_history": 1, "run": "r1", "seed": 1, "plan_digest": "d", "plan": {"faults": faults}}
        lines = [header, *({"i": i, "actor": "tap", **record} for i, record in enumerate(records, 1))]
        path = tmp_path / "history.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write


def wire(link: str, begun: int, ended: int, *named: str, phase: str = "answered") -> dict:
    about = dict(zip(["command", "key"], named, strict=False))
    return {"op": "wire", "phase": phase, "link": link, "t_begin": begun, "t": ended, **about}


def struck(t: int, phase: str = "killed", fault: str = "f2", name: str = "ledger#1") -> dict:
    return {"op": "service", "phase": phase, "t": t, "actor": f"fault:{fault}", "name": name, "pid": 1}


ACKNOWLEDGED = {"op": "upload", "phase": "ok", "t": 100, "upload_id": "u"}


def conditions(path: Path, row: str) -> list[dict[str, Any]]:
    with History(path) as history:
        return [when.model_dump(exclude_none=True) for when in in_hand(history, candidate(row).faults[0])]


def test_the_message_in_hand_the_first_of_its_kind_and_the_very_one(recorded) -> None:
    path = recorded(
        wire(REDIS, 50, 60, "SET", "claim:0"),  # before the load's first answer: a condition does not count it
        ACKNOWLEDGED,
        wire(REDIS, 110, 120, "SET", "claim:1"),
        wire(REDIS, 130, 140, "GET", "done:1"),
        wire(REDIS, 190, 205, "SET", "claim:2", phase="unanswered"),
        struck(200),
        wire(REDIS, 300, 310, "SET", "claim:3"),
    )
    sides = [{"reply": "SET *"}, {"request": "SET *"}]
    assert conditions(path, KILL) == [{**side, "on": REDIS, "nth": nth} for nth in (1, 2) for side in sides]


def event(name: str) -> dict:
    return {"op": "event", "phase": "seen", "t": 100, "event_id": name}


def test_of_a_key_that_names_an_event_only_the_name_is_left_open(recorded) -> None:
    path = recorded(
        event("e-1"),
        event("e-2"),
        ACKNOWLEDGED,
        wire(REDIS, 110, 120, "SET", "claim:e-1"),
        wire(REDIS, 130, 140, "SET", "claim:e-1:done"),
        wire(REDIS, 150, 160, "SET", "claimed"),
        wire(REDIS, 190, 205, "SET", "claim:e-2", phase="unanswered"),
        struck(200),
    )
    sides = [{"reply": "SET claim:{id}"}, {"request": "SET claim:{id}"}]
    assert conditions(path, KILL) == [{**side, "on": REDIS, "nth": nth} for nth in (1, 2) for side in sides]


def test_the_first_is_not_offered_twice(recorded) -> None:
    path = recorded(ACKNOWLEDGED, wire(DOOR, 190, 205, "PING"), struck(200))
    assert conditions(path, KILL) == [{side: "PING", "on": DOOR, "nth": 1} for side in ("reply", "request")]


def test_what_was_answered_or_sent_by_another_is_not_in_hand(recorded) -> None:
    path = recorded(
        ACKNOWLEDGED,
        wire(REDIS, 110, 199, "SET", "claim:1"),
        wire("ledger#2->redis", 190, 210, "SET", "claim:2"),
        wire(REDIS, 190, 210, "SET", "claim:3", phase="sent"),
        wire(REDIS, 201, 210, "SET", "claim:4"),
        struck(200),
    )
    assert conditions(path, KILL) == []


def test_of_a_pause_the_last_counts(recorded) -> None:
    path = recorded(
        ACKNOWLEDGED,
        wire(REDIS, 140, 160, "SET", "claim:1"),
        struck(150, "paused", "f3"),
        wire(DOOR, 240, 260, "GET", "/v1/content/1"),
        struck(250, "paused", "f3"),
    )
    assert {one["on"] for one in conditions(path, PAUSE)} == {DOOR}


def test_another_fault_s_death_is_not_this_one_s(recorded) -> None:
    path = recorded(ACKNOWLEDGED, wire(REDIS, 190, 205, "SET", "claim:2"), struck(200, fault="f1"))
    assert conditions(path, KILL) == []
    assert conditions(path, "{fault: service.kill, on: 'ledger#1', at: 26%, for: 500ms}") == []
