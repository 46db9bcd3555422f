"""verdict.json holds all that is to be said about a run."""

import json
from pathlib import Path

import pytest

from harness.errors import FileError
from harness.history.reader import History
from harness.reports import document
from harness.verdict import Finding, Verdict


def finding(rows: list[dict[str, object]]) -> Finding:
    return Finding("exactly one effect", Verdict.INVALID, {"lost": rows}, {"odd": [{"n": 1}]}, judged=3)


def written(directory: Path, history: History, findings: list[Finding], verdict: Verdict = Verdict.INVALID) -> dict:
    templates = {("exactly one effect", "lost"): "{consumer} lost {event_id} {what}"}
    document.write(directory / "verdict.json", history, findings, verdict, templates)
    return dict(document.read(directory))


def test_what_stands_in_it(directory: Path, history: History, lost: str) -> None:
    rows: list[dict[str, object]] = [{"event_id": lost, "consumer": "essay_lifecycle"}] * 150
    made = written(directory, history, [finding(rows)])
    assert (made["verdict"], made["seed"], made["plan_digest"]) == ("invalid", 41, "d" * 64)
    assert made["expected"] == {"verdict": "invalid", "find": ["lost"]}
    assert made["again"] == "oneffect run redis-outage --seed 41 --variant setnx_only"
    assert made["complete"]
    anomaly = made["findings"][0]["anomalies"]["lost"]
    assert anomaly["count"] == 150
    assert len(anomaly["rows"]) == 100
    assert anomaly["told"][0]["said"] == f"essay_lifecycle lost {lost} ?"
    assert anomaly["told"][0]["short"] == "7f3a1111"
    assert made["findings"][0]["warnings"]["odd"]["told"][0]["said"] == "n 1"


def test_figures(history: History) -> None:
    assert document.figures(history) == {
        "operations": 1,
        "acknowledged": 1,
        "refused": 0,
        "unknown": 0,
        "events": 2,
        "records": 3,
        "effects": 2,
        "duration": 31.3,
        "under_fault": 0.0,
    }


def test_faults_with_what_shows_that_they_bit(history: History) -> None:
    first, second = document.faults(history)
    assert (first["injected"], first["bit"], first["healed"]) == (12.033, 12.04, 12.5)
    assert first["evidence"]["bit"]["what"] == "it died"
    assert "bit" not in second


@pytest.mark.parametrize(
    ("verdict", "anomaly", "expected"),
    [
        (Verdict.INVALID, "lost", True),
        (Verdict.INVALID, "duplicate", False),
        (Verdict.VALID, "lost", False),
        (Verdict.UNKNOWN, "lost", False),
    ],
)
def test_as_expected_is_the_verdict_and_what_must_be_found(
    history: History, verdict: Verdict, anomaly: str, expected: bool
) -> None:
    found = [Finding("exactly one effect", verdict, {anomaly: [{}]})]
    assert document.as_expected(history, found, verdict) is expected


@pytest.mark.parametrize(
    ("path", "more", "command"),
    [
        ("scenarios/one.yaml", {}, "oneffect run one --seed 5"),
        ("deep/scenarios/one.yaml", {}, "oneffect run deep/scenarios/one.yaml --seed 5"),
        ("venv/lib/site-packages/oneffect_scenarios/one.yaml", {}, "oneffect run one --seed 5"),
        ("it's.yaml", {}, "oneffect run 'it'\"'\"'s.yaml' --seed 5"),
        (
            "scenarios/one.yaml",
            {"system_given": True, "system_path": "my system.yaml"},
            "oneffect run one --seed 5 --system 'my system.yaml'",
        ),
        (
            "",
            {"plan": {"scenario": None}, "again": "pytest test_shop.py::test_one --oneffect-seed 5"},
            "pytest test_shop.py::test_one --oneffect-seed 5",
        ),
    ],
)
def test_the_command_that_runs_it_again(path: str, more: dict[str, object], command: str) -> None:
    assert document.again({"scenario_path": path, "seed": 5, "plan": {}, **more}) == command


def test_a_checker_that_raised_is_told(directory: Path, history: History) -> None:
    made = written(directory, history, [Finding("outcomes", Verdict.UNKNOWN, error="ValueError: x")], Verdict.UNKNOWN)
    assert made["findings"][0]["error"] == "ValueError: x"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}'])
def test_a_verdict_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "verdict.json").write_text(text)
    with pytest.raises(FileError, match="oneffect check"):
        document.read(tmp_path)


def test_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="oneffect check"):
        document.read(tmp_path)


def test_it_is_json_with_a_last_newline(directory: Path, history: History) -> None:
    written(directory, history, [])
    text = (directory / "verdict.json").read_text()
    assert text.endswith("}\n")
    assert json.loads(text)["findings"] == []
