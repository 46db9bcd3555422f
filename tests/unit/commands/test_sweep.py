"""``oneffect sweep``: which runs it makes, and the map that it draws of them; the runs are made up."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from harness.commands.sweep import TRIES
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
    """The made-up runs: the first has what passed, the others have a fault that bit.

    In so many runs of a scenario as ``never`` says it did not bite, and as ``astray`` says it acted at another message.
    """
    monkeypatch.setattr("harness.run.run", made_up(lab))
    lab.never, lab.astray = {}, {}
    lab.again = [wire(200, "SET", IDS[0]), wire(210, "DEL", IDS[0]), wire(220, "DEL", IDS[1])]
    lab.records = [
        *(
            {
                "op": "event",
                "phase": "seen",
                "t": 1,
                "event_id": event,
                "topic": "orders",
                "partition": 0,
                "offset": at,
            }
            for at, event in enumerate(IDS)
        ),
        *(wire(at, command, event) for at, command in ((10, "SET"), (20, "DEL")) for event in IDS),
    ]
    return lab


def made_up(lab):
    async def run(plan, **options):
        result = await lab.run(plan, **options)
        if plan.scenario.name == "messages":
            write(result.directory, lab.records)
            return result
        write(result.directory, [*lab.records, *struck(plan.faults, lab.astray.get(plan.label, 0) > 0), *lab.again])
        lab.astray[plan.label] = lab.astray.get(plan.label, 0) - 1
        lab.never[plan.label] = (left := lab.never.get(plan.label, 0)) - 1
        last = plan.faults[-1]
        bit = [
            {"name": each.fault.name, **({"bit": 1} if left <= 0 or each is not last else {})} for each in plan.faults
        ]
        return replace(result, document={**result.document, "faults": bit})

    return run


def write(directory: Path, records: list[dict[str, object]]) -> None:
    header = {"oneffect_history": 1, "run": "r1", "seed": 1, "plan_digest": "d", "plan": {}, "versions": {}}
    lines = [header, *({"i": i, "actor": "x", **record} for i, record in enumerate(records, 1))]
    (directory / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def struck(faults: Any, astray: bool) -> list[dict[str, object]]:
    """The messages of the first event at which faults acted; if the last is ``astray``, what it struck has a longer key."""
    records: list[dict[str, object]] = []
    for at, planned in zip((100, 300), faults, strict=False):
        what = planned.when.patterns[0].replace("{id}", IDS[0]) + ":more" * (astray and planned is faults[-1])
        command, _, key = what.partition(" ")
        lost = wire(at, command, IDS[0]) | {"key": key, "phase": f"lost_{planned.when.side}", "t": at + 20}
        said = f"{'the reply to ' * (planned.when.side == 'reply')}{what} on ledger#1->redis"
        evidence = {"message": said}
        records += [
            lost,
            {"op": "fault", "phase": "injected", "fault": planned.id, "t": at + 10, "evidence": evidence},
        ]
    return records


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
    assert fault.when.document() == {"reply": ["DEL claim:{id}"], "on": ["ledger#1->redis"], "nth": 2, "per_key": 1}
    assert {name: cell["verdict"] for name, cell in mapped(project).items()} == dict.fromkeys(CELLS, "valid")
    assert said.stdout.splitlines()[-1].startswith("8 cells: 8 valid; map: .oneffect/sweeps/")


@pytest.mark.parametrize("pattern", ["DEL claim:*", "DEL claim:{id}", "DEL *"])
def test_of_messages_that_match_alone(runs, project: Path, say, pattern) -> None:
    assert sweep(say, "--only", pattern).exit_code == 0
    assert list(mapped(project)) == [f"m01-del-{action}" for action in ACTIONS]
    said = sweep(say, "--only", "DEL clam:*")
    assert said.exit_code == 2
    assert "matches none of redis: SET claim:*; redis: DEL claim:*" in said.stderr


def test_what_came_with_about_every_event_and_is_not_tried_is_listed(runs, project: Path, say) -> None:
    runs.records += [wire(8, "TTL", IDS[0]), wire(9, "GET", "settings"), wire(30, "GET", "settings")]
    said = sweep(say, "--only", "DEL *")
    assert said.exit_code == 0
    assert "not tried, as nothing tells whether an event caused it: redis: GET (with 2 events)" in said.stdout
    (path,) = (project / ".oneffect" / "sweeps").glob("*/map.json")
    assert json.loads(path.read_text())["left_out"] == [{"target": "redis", "command": "GET", "events": 2}]


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
    tried = [plan for plan in runs.plans if plan.scenario.name == "m01-set-killed-before"]
    assert [(plan.seed, plan.faults[0].target) for plan in tried] == [
        (7, "ledger#1"),
        (8, "ledger#2"),
        (9, "ledger#1"),
    ]
    assert [plan.faults[0].when.links for plan in tried] == [(f"{plan.faults[0].target}->redis",) for plan in tried]
    assert len(mapped(project)["m01-set-killed-before"]["runs"]) == 3


def test_a_cell_whose_message_never_comes_is_unknown(runs, project: Path, say) -> None:
    runs.never = {"m01-set-killed-before": TRIES}
    said = sweep(say)
    assert said.exit_code == 3
    assert mapped(project)["m01-set-killed-before"]["verdict"] == "unknown"
    assert "unknown: its message never came" in said.stdout


def test_a_cell_is_tried_again_if_its_fault_acted_at_another_message(runs, project: Path, say) -> None:
    runs.astray = {"m01-set-killed-before": 2}
    assert sweep(say).exit_code == 0
    assert len(mapped(project)["m01-set-killed-before"]["runs"]) == 3


def test_a_cell_whose_fault_only_acted_at_another_message_is_unknown(runs, project: Path, say) -> None:
    runs.astray = dict.fromkeys(strayed := ["m01-set-killed-before", "m02-del-reply-lost"], TRIES)
    runs.verdicts = {"m02-del-reply-lost": Verdict.INVALID}
    said = sweep(say)
    assert said.exit_code == 3
    cells = mapped(project)
    assert {name for name, cell in cells.items() if cell["verdict"] == "unknown"} == {*strayed}
    assert cells["m01-set-killed-before"]["astray"] == "SET claim:event-1:more on ledger#1->redis"
    assert (
        "another message, the reply to DEL claim:event-1:more on ledger#1->redis; the run is invalid" in said.stdout
    )
    assert len(cells["m02-del-reply-lost"]["runs"]) == 1


def test_an_invalid_run_is_not_repeated_though_nothing_bit(runs, project: Path, say) -> None:
    runs.verdicts = {"m01-set-killed-before": Verdict.INVALID}
    runs.never = {"m01-set-killed-before": TRIES}
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


def paired(project: Path) -> dict[str, Any]:
    (path,) = (project / ".oneffect" / "sweeps").glob("*/map.json")
    made: dict[str, Any] = json.loads(path.read_text())["pairs"]
    return made


def test_a_second_fault_at_each_message_that_followed_the_first(runs, project: Path, say) -> None:
    said = sweep(say, "--depth", "2")
    assert said.exit_code == 0, said.stderr
    pairs = paired(project)
    # Killed before its first message, an event is as new: of the eight first faults seven are followed, at two messages each.
    assert (pairs["found"], pairs["to_try"], len(pairs["cells"])) == (64, 56, 56)
    assert pairs["left_out"] == {"are equal to another up to the event": 8}
    assert {cell["verdict"] for cell in pairs["cells"]} == {"valid"}
    assert "64 pairs, 56 tried: 56 valid (8 are equal to another up to the event)" in said.stdout
    assert {plan.scenario.taps for plan in runs.plans} == {"all"}
    for path in (project / ".oneffect" / "sweeps").glob("*/p*.yaml"):
        plan = make_plan(path, system_path=None, variant=None, seed=1, stack="auto")
        assert [fault.when.follows for fault in plan.faults] == [None, 1]
    (page,) = (project / ".oneffect" / "sweeps").glob("*/map.html")
    assert page.read_text().count("<details>") == 7


def test_as_many_pairs_as_are_wanted_drawn_from_the_seed(runs, project: Path, say) -> None:
    said = sweep(say, "--depth", "2", "--pairs", "5")
    assert said.exit_code == 0
    tried = sorted({plan.scenario.name[:4] for plan in runs.plans if plan.scenario.name.startswith("p")})
    assert tried == [f"p{place + 1:03}" for place in sorted(Random(7).sample(range(56), 5))]
    assert len(paired(project)["cells"]) == 5
    assert "51 are more than --pairs allows" in said.stdout


def test_a_pair_that_fails_says_where_to_look_and_opens_its_fold(runs, project: Path, say) -> None:
    runs.verdicts = {"p005-set-then-set": Verdict.INVALID}
    said = sweep(say, "--depth", "2", "--only", "SET *")
    assert said.exit_code == 1
    assert "redis: SET claim:*, killed after, then redis: SET claim:*, killed before: oneffect show" in said.stdout
    (page,) = (project / ".oneffect" / "sweeps").glob("*/map.html")
    assert page.read_text().count('<details open="">') == 1
    assert page.read_text().startswith("<!doctype html>")
    assert "<title>invalid: " in page.read_text()


def test_a_pair_counts_only_if_both_faults_acted(runs, project: Path, say) -> None:
    runs.never = {"p005-set-then-set": TRIES}
    said = sweep(say, "--depth", "2", "--only", "SET *")
    assert said.exit_code == 3
    cell = paired(project)["cells"][4]
    assert len(cell["runs"]) == TRIES
    assert cell["said"] == "unknown: the message of the second fault never came"


def test_a_pair_counts_only_if_both_faults_acted_at_their_messages(runs, project: Path, say) -> None:
    runs.astray = {"p005-set-then-set": TRIES}
    assert sweep(say, "--depth", "2", "--only", "SET *").exit_code == 3
    cell = paired(project)["cells"][4]
    assert (len(cell["runs"]), cell["verdict"]) == (TRIES, "unknown")
    assert cell["said"].startswith("unknown: it acted at another message, ")


def test_an_invalid_run_of_a_pair_is_told_though_only_the_first_fault_acted(runs, project: Path, say) -> None:
    runs.never, runs.verdicts = {"p005-set-then-set": TRIES}, {"p005-set-then-set": Verdict.INVALID}
    assert sweep(say, "--depth", "2", "--only", "SET *").exit_code == 3
    cell = paired(project)["cells"][4]
    assert (len(cell["runs"]), cell["verdict"]) == (1, "unknown")
    assert cell["said"] == "unknown: the message of the second fault never came; the run is invalid all the same"


def test_no_second_fault_where_the_first_alone_fails(runs, project: Path, say) -> None:
    runs.verdicts = {"m01-set-reply-lost": Verdict.INVALID}
    assert sweep(say, "--depth", "2", "--only", "SET *").exit_code == 1
    assert paired(project)["left_out"]["have a first fault that alone is not valid"] == 8
    assert "reply lost" not in {cell["first"]["action"] for cell in paired(project)["cells"]}


def test_a_message_whose_cell_was_not_asked_for_is_tried_as_a_second_one(runs, project: Path, say) -> None:
    """With `--only`, no run had the second fault alone: the pair is its only one."""
    assert sweep(say, "--depth", "2", "--only", "SET *").exit_code == 0
    new = [cell["second"] for cell in paired(project)["cells"] if cell["first"]["action"] == "killed before"]
    assert {second["message"] for second in new} == {"redis: DEL claim:*"}
    assert paired(project)["left_out"] == {"are equal to another up to the event": 4}


def test_a_bound_on_pairs_without_any(runs, say) -> None:
    said = sweep(say, "--pairs", "5")
    assert said.exit_code == 2
    assert "add --depth 2" in said.stderr
