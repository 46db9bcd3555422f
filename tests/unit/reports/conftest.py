"""A small recorded run in which one event is lost and one is applied twice."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.history.reader import History

LOST = "7f3a1111-0000-5000-8000-000000000001"
TWICE = "9b2c2222-0000-5000-8000-000000000002"
GOOD = "9b2c3333-0000-5000-8000-000000000003"
KIND = "essay.provisioned.v1"

HEADER = {
    "oneffect_history": 1,
    "run": "r1",
    "seed": 41,
    "plan_digest": "d" * 64,
    "label": "redis-outage setnx_only",
    "expected": {"verdict": "invalid", "find": ["lost"]},
    "scenario_path": "scenarios/redis-outage.yaml",
    "system_path": "reference_impl/system.yaml",
    "versions": {"oneffect": "0.1.0"},
    "started": "2026-11-23T20:00:00+00:00",
    "plan": {
        "variant": "setnx_only",
        "faults": [{"id": "f1", "fault": "service.kill"}, {"id": "f2", "fault": "net.hang"}],
        "checks": {"consumers": {"essay_lifecycle": [KIND]}, "settle_ns": 0, "outcomes": []},
    },
}


def event(t: float, event_id: str, offset: int, **more: object) -> dict[str, object]:
    place = {"topic": "essays", "partition": 0, "offset": offset, "event_id": event_id, "event_type": KIND}
    return {"t": t, "op": "event", "phase": "seen", "digest": "a" * 64, **place, **more}


def fault(t: float, phase: str, name: str = "service.kill", **more: object) -> dict[str, object]:
    told = {"fault": "f1", "name": name, "target": "essay_lifecycle#1", "heals": True}
    return {"t": t, "op": "fault", "phase": phase, **told, **more}


def offset(t: float, committed: int) -> dict[str, object]:
    place = {"consumer": "essay_lifecycle", "topic": "essays", "partition": 0, "visible_end": 3}
    return {"t": t, "op": "offset", "phase": "seen", "committed": committed, **place}


def effect(t: float, event_id: str, which: str, read: int) -> dict[str, object]:
    told = {"consumer": "essay_lifecycle", "event_id": event_id, "effect": which, "digest": "a" * 64, "read": read}
    return {"t": t, "op": "effect", "phase": "seen", **told}


def claim(t: float, event_id: str) -> dict[str, object]:
    return {"t": t, "op": "claim", "phase": "seen", "command": "SET NX", "key": f"claim:essay_lifecycle:{event_id}"}


PUBLISHED = {"topic": "essays", "partition": 0, "offset": 2}
"""Where the broker put the copy. Its records stand at the end: others are referred to by their number."""

RECORDS: list[dict[str, Any]] = [
    {
        "t": 11.0,
        "op": "upload",
        "phase": "invoke",
        "upload_id": "r1-0000000",
        "file_name": "é\x1b[31m.txt",
        "size": 9,
    },
    {"t": 11.1, "op": "upload", "phase": "ok", "of": 1, "upload_id": "r1-0000000", "status": 202}
    | {"raw_file_storage_id": "c0ffee", "sha256": "b" * 64},
    {"t": 11.2, "op": "blob", "phase": "present", "raw_file_storage_id": "c0ffee", "why": "answer"},
    event(12.0, LOST, 0, upload_id="r1-0000000", raw_file_storage_id="c0ffee"),
    claim(12.031, LOST),
    fault(12.033, "injected"),
    {"t": 12.034, "op": "service", "phase": "killed", "name": "essay_lifecycle#1", "pid": 7, "exit_status": -9}
    | {"actor": "fault:f1"},
    fault(12.04, "bit", evidence={"what": "it died", "before": {}, "after": {}}),
    fault(12.5, "healed"),
    event(12.6, TWICE, 1),
    claim(12.7, TWICE),
    offset(14.2, 1),
    {"t": 15.0, "op": "read", "phase": "invoke", "what": "effects"},
    effect(15.1, TWICE, "1", 13),
    {"t": 15.2, "op": "read", "phase": "ok", "what": "effects", "of": 13},
    event(16.0, TWICE, 2),
    fault(16.5, "injected", "net.hang", fault="f2", target="file_service#1->redis"),
    {"t": 17.0, "op": "blob", "phase": "missing", "raw_file_storage_id": "c0ffee", "why": "final"},
    offset(18.0, 3),
    {"t": 31.0, "op": "read", "phase": "invoke", "what": "effects", "final": True},
    effect(31.1, TWICE, "1", 20),
    effect(31.1, TWICE, "2", 20),
    {"t": 31.2, "op": "read", "phase": "ok", "what": "effects", "final": True, "of": 20},
    {"t": 31.25, "op": "publish", "phase": "invoke", "injected": "kafka.duplicate"},
    {"t": 31.25, "op": "publish", "phase": "ok", "injected": "kafka.duplicate", "of": 24, **PUBLISHED},
    {"t": 31.3, "op": "run", "phase": "finished"},
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    lines = [HEADER]
    for i, record in enumerate(RECORDS, 1):
        lines.append({"i": i, "actor": "client", **record, "t": round(record["t"] * 1e9)})
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


@pytest.fixture
def history(directory: Path) -> Iterator[History]:
    with History(directory / "history.jsonl") as opened:
        yield opened


@pytest.fixture
def lost() -> str:
    return LOST


@pytest.fixture
def twice() -> str:
    return TWICE
