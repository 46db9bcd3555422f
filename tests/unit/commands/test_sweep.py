"""``oneffect sweep``: which runs it makes, and the map that it draws of them; the runs are made up."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.plan import make_plan
from harness.verdict import Verdict

ACTIONS = ["killed-before", "killed-after", "request-lost", "reply-lost"]
CELLS = [f"m{number:02}-{command}-{action}" for number, command in ((1, "set"), (2, "del")) for action in ACTIONS]
IDS = ("event-1", "event-2")


def wire(at: int, command: str, event: str) -> dict[str, object]:
    about = {"link": "ledger#1->redis", "command": command, "key": f"claim:{event}"}
    return {"op": "wire", "phase": "answered", "t": at + 1, "t_begin": at, **about}


@pytest.fixture
def runs(project: Path, lab, monkeypatch: pytest.MonkeyPatch):
    """The made-up runs: the first has what passed, the others have a fault that bit unless ``never`` names them."""
    monkeypatch.setattr("harness.run.run", made_up(lab))
    lab.never = {}
    lab.records = [
        *({"op": "event", "phase": "seen", "t": 1, "event_id": event} for event in IDS),
        *(wire(at, command, event) for at, command in ((10, "SET"), (20, "DEL")) for event in IDS),
    ]
    return lab


def made_up(lab):
    async def run(plan, **options):
        result = await lab.run(plan, **options)
        if plan.scenario.name == "messages":
            header = {"oneffect_history": 1, "run": "r1", "seed": 1, "plan_digest": "d", "plan": {}, "versions": {}}
            lines = [header, *({"i": i, "actor": "x", **record} for i, record in enumerate(lab.records, 1))]
            (result.directory / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
            return result
        lab.never[plan.label] = (left := lab.never.get(plan.label, 0)) - 1
        bit = [{"name": planned.fault.name, **({"bit": 1} if left <= 0 else {})} for planned in plan.faults]
        return replace(result, document={**result.document, "faults": bit})

    return run


def mapped(project: Path) -> dict[str, dict[str, Any]]:
    (path,) = (project / ".oneffect" / "sweeps").glob("*/map.json")
    return {
        cell["scenario"].removesuffix(".yaml"): cell
        for row in json.loads(path.read_text())["messages"]
        for cell in row["cells"].values()
    }


def sweep(say, *words: str):
    return say("sweep", "control", "--service", "ledger", "--seed", "7", *words)


def test_four_runs_for_each_message_after_one_that_watches(runs, project: Path, say) -> None:
    said = sweep(say)
    assert said.exit_code == 0, said.stderr
    first, *others = runs.plans
    assert (first.scenario.name, first.scenario.taps, first.faults) == ("messages", "all", ())
    assert sorted(plan.scenario.name for plan in others) == sorted(CELLS)
    assert {plan.scenario.load.uploads for plan in runs.plans} == {40}
    kill = next(plan for plan in others if plan.scenario.name == "m02-del-killed-after")
    (fault,) = kill.faults
    assert (fault.fault.name, fault.target) == ("service.kill", "ledger#1")
    assert fault.when.document() == {"reply": ["DEL claim:*"], "on": ["ledger#1->redis"], "nth": 2, "per_key": 1}
    assert {name: cell["verdict"] for name, cell in mapped(project).items()} == dict.fromkeys(CELLS, "valid")
    assert said.stdout.splitlines()[-1].startswith("8 cells: 8 valid; map: .oneffect/sweeps/")


def test_of_messages_that_match_alone(runs, project: Path, say) -> None:
    assert sweep(say, "--only", "DEL claim:*").exit_code == 0
    assert list(mapped(project)) == [f"m01-del-{action}" for action in ACTIONS]
    said = sweep(say, "--only", "DEL clam:*")
    assert said.exit_code == 2
    assert "matches none of redis: SET claim:*; redis: DEL claim:*" in said.stderr


def test_each_cell_can_be_run_again(runs, project: Path, say) -> None:
    sweep(say)
    for path in (project / ".oneffect" / "sweeps").glob("*/*.yaml"):
        assert (path.parent / yaml.safe_load(path.read_text())["system"]).resolve() == project / "system.yaml"
        plan = make_plan(path, system_path=None, variant=None, seed=1, stack="auto")
        assert len(plan.faults) == (path.stem != "messages")


def test_the_worst_cell_decides_and_says_where_to_look(runs, project: Path, say) -> None:
    runs.verdicts = {
        "m01-set-killed-after setnx_only": Verdict.INVALID,
        "m02-del-reply-lost setnx_only": Verdict.UNKNOWN,
    }
    said = sweep(say, "--variant", "setnx_only")
    assert said.exit_code == 1
    cells = mapped(project)
    assert (cells["m01-set-killed-after"]["verdict"], cells["m01-set-killed-after"]["anomalies"]) == (
        "invalid",
        {"lost": 2},
    )
    assert cells["m02-del-reply-lost"]["verdict"] == "unknown"
    rows = [
        line
        for line in said.stdout.splitlines()
        if line.startswith("redis: SET claim:*, killed after: oneffect show")
    ]
    assert len(rows) == 1
    assert rows[0].endswith("m01-set-killed-after.yaml --variant setnx_only")
    assert "6 valid, 1 unknown, 1 invalid" in said.stdout
    (page,) = (project / ".oneffect" / "sweeps").glob("*/map.html")
    assert page.read_text().count('class="badge invalid"') == 1
    reports = re.findall(r'href="([^"]+)/report.html"', page.read_text())
    assert len(reports) == 8
    assert all((page.parent / report).is_dir() for report in reports)


def test_a_cell_is_tried_with_other_seeds_until_its_message_comes(runs, project: Path, say) -> None:
    runs.never = {"m01-set-killed-before": 2}
    assert sweep(say).exit_code == 0
    assert [plan.seed for plan in runs.plans if plan.scenario.name == "m01-set-killed-before"] == [7, 8, 9]
    assert len(mapped(project)["m01-set-killed-before"]["runs"]) == 3


def test_a_cell_whose_message_never_comes_is_unknown(runs, project: Path, say) -> None:
    runs.never = {"m01-set-killed-before": 3}
    said = sweep(say)
    assert said.exit_code == 3
    assert mapped(project)["m01-set-killed-before"]["verdict"] == "unknown"
    assert "unknown: its message never came" in said.stdout


def test_an_invalid_run_is_not_repeated_though_nothing_bit(runs, project: Path, say) -> None:
    runs.verdicts = {"m01-set-killed-before": Verdict.INVALID}
    runs.never = {"m01-set-killed-before": 3}
    assert sweep(say).exit_code == 1
    assert len(mapped(project)["m01-set-killed-before"]["runs"]) == 1


def test_without_a_valid_run_to_start_from_nothing_is_broken_off(runs, say) -> None:
    runs.verdicts = {"messages": Verdict.INVALID}
    said = sweep(say)
    assert said.exit_code == 2
    assert "the run without faults is invalid" in said.stderr
    assert len(runs.plans) == 1


def test_where_no_message_names_an_event(runs, say) -> None:
    runs.records = []
    said = sweep(say)
    assert said.exit_code == 2
    assert "no message names an event" in said.stderr


def test_a_service_that_is_not_there(runs, project: Path, say) -> None:
    said = say("sweep", "control", "--service", "leger")
    assert said.exit_code == 2
    assert "no service 'leger' (nearest: ledger)" in said.stderr
    assert not (project / ".oneffect").exists()
