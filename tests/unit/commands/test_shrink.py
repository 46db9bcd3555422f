"""``oneffect shrink``: what it runs, keeps, writes and says; the runs are made up."""

import asyncio
import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import StackError
from harness.files import load
from harness.plan import Plan, make_plan
from harness.run import Result
from harness.scenario import Scenario
from harness.stack import Tapping
from harness.verdict import Verdict
from tests.unit.commands.conftest import FakeStack, recorded

ENDS = """
expect: valid
variants: {setnx_only: {verdict: invalid, find: [lost]}}
"""
STORM = """
oneffect: 1
name: storm
system: ../system.yaml
tags: [gate]
drain: 20s
load: {uploads: 120, rate: 20/s}
faults:
  - {fault: net.hang, on: "ledger->redis", at: 10%, for: 2s}
  - {fault: net.latency, on: "*->kafka", at: 2s, for: 3s, latency: 80ms}
  - {fault: service.kill, on: ledger, at: 4s, for: 400ms}
  - {fault: redis.lose, on: redis, at: 80%, for: 1s}
expect: valid
variants: {setnx_only: {verdict: invalid, find: [lost]}}
"""


@dataclass
class Made:
    """The made-up runs: what each shall be, by its plan; and which there were."""

    breaks: Callable[[Plan], bool] = lambda plan: "service.kill" in faults(plan)
    verdict: Verdict = Verdict.VALID
    """Of a run that does not break."""
    anomaly: Callable[[Plan], str] = lambda plan: "lost"
    errors: list[Exception] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)

    async def run(self, plan: Plan, *, out: Path, stack: object, progress: object, after: object = None) -> Result:
        if self.errors:
            raise self.errors.pop()
        self.plans.append(plan)
        directory = out / f"run-{len(self.plans)}"
        directory.mkdir(parents=True)
        broke = self.breaks(plan)
        result = recorded(directory, plan, Verdict.INVALID if broke else self.verdict)
        finding = result.document["findings"][0]
        finding["anomalies"] = {self.anomaly(plan): row for row in list(finding["anomalies"].values())[:1]}
        (directory / "verdict.json").write_text(json.dumps(result.document))
        return result


def faults(plan: Plan) -> list[str]:
    return [row.fault for row in plan.scenario.faults]


@pytest.fixture
def made(lab, monkeypatch: pytest.MonkeyPatch) -> Made:
    made = Made()
    monkeypatch.setattr("harness.run.run", made.run)
    return made


@pytest.fixture
def broken(project: Path) -> Path:
    """The directory of a run of the storm that lost an event."""
    return broken_run(project, "setnx_only")


def broken_run(project: Path, variant: str | None, *, name: str = "storm", **header: object) -> Path:
    path = project / "scenarios" / "storm.yaml"
    path.write_text(STORM.replace("name: storm", f"name: {name}"))
    plan = make_plan(Path("scenarios/storm.yaml"), system_path=None, variant=variant, seed=41, stack="auto")
    directory = Path(".oneffect/runs/20261129-storm-41-r7f3a0000")
    directory.mkdir(parents=True, exist_ok=True)
    (directory.parent / "latest").unlink(missing_ok=True)
    (directory.parent / "latest").symlink_to(directory.name)
    first = {
        "oneffect_history": 1,
        "run": "r7f3a0000",
        "plan": plan.document,
        "plan_digest": plan.digest,
        "seed": 41,
        "scenario_path": "scenarios/storm.yaml",
        "system_path": "system.yaml",
        **header,
    }
    (directory / "history.jsonl").write_text(json.dumps(first) + "\n")
    recorded(directory, plan, Verdict.INVALID)
    return directory


def state(broken: Path) -> list[dict]:
    return json.loads((broken / "shrink.json").read_text())["candidates"]


def test_a_storm_becomes_a_scenario_of_one_row(broken: Path, made: Made, lab, say) -> None:
    said = say("shrink")
    assert said.exit_code == 0, said.stderr
    path = broken / "smallest.yaml"
    scenario = load(path, Scenario)
    (row,) = scenario.faults
    assert (row.fault, row.on, row.lasts, row.at) == ("service.kill", "ledger#1", 0.1, 1.0)
    assert (scenario.name, scenario.load.uploads, scenario.drain, scenario.tags) == ("storm-smallest", 30, 20.0, [])
    assert scenario.summary == "The smallest part of storm that still breaks it: lost, in 3 of 3 runs."
    assert scenario.expect.verdict == "valid"
    assert scenario.variants["setnx_only"].model_dump() == {"verdict": "invalid", "find": ["lost"]}
    again = make_plan(path, system_path=None, variant="setnx_only", seed=41, stack="auto")
    assert again.system_path.samefile("system.yaml")
    assert f"again: oneffect run {path} --seed" in said.stdout
    assert "lost in 3 of 3 runs after the search" in said.stdout
    assert "1 fault for 100ms, 30 uploads; the whole: 4 faults for 6.4s, 120 uploads" in said.stdout
    assert "  - {fault: service.kill, on: ledger#1, at: 1s, for: 100ms}" in said.stdout
    assert "INVALID  storm-" in said.stdout
    assert (lab.started, lab.stopped) == (1, 1), "one warm stack"


def test_a_row_that_follows_another_cannot_be_left_alone(project: Path, made: Made, say, monkeypatch) -> None:
    when = 'when: {request: "*", on: "ledger#1->redis"'
    first = f'{{fault: net.hang, on: "ledger->redis", {when}}}, for: 2s}}'
    second = f'{{fault: service.kill, on: "ledger#1", {when}, follows: 1}}, for: 400ms}}'
    monkeypatch.setattr(f"{__name__}.STORM", STORM.partition("  - {fault")[0] + f"  - {first}\n  - {second}\n" + ENDS)
    broken_run(project, "setnx_only")
    said = say("shrink")
    assert said.exit_code == 2
    assert "a row of this schedule follows another" in said.stderr
    assert not made.plans


def test_each_run_has_a_directory_and_each_candidate_a_file_below_the_broken_run(
    broken: Path, made: Made, say
) -> None:
    say("shrink", "r7f3a0000")
    assert {plan.scenario_path.parent for plan in made.plans} == {broken / "shrink"}
    assert (broken / "shrink" / "run-1" / "verdict.json").is_file()
    assert (Path(".oneffect/runs/latest")).resolve() == broken.resolve(), "the latest run is still the broken one"


def test_latest_is_the_run_that_it_is_now(broken: Path, made: Made, say) -> None:
    assert f"written: {broken}/smallest.yaml" in say("shrink", ".oneffect/runs/latest").stdout


def test_the_smallest_of_a_smallest_has_the_same_name(project: Path, made: Made, say) -> None:
    broken = broken_run(project, None, name="storm-smallest")
    assert say("shrink").exit_code == 0
    assert load(broken / "smallest.yaml", Scenario).name == "storm-smallest"


def test_every_candidate_has_the_same_seeds_the_first_of_them_the_broken_run_s(broken: Path, made: Made, say) -> None:
    say("shrink")
    seeds = {entry["candidate"]: [ran["seed"] for ran in entry["ran"]] for entry in state(broken)}
    whole = next(iter(seeds.values()))
    assert (whole[0], len(set(whole))) == (41, 3)
    last = [plan.seed for plan in made.plans[-3:]]
    assert not set(last) & set(whole), "the last runs chose nothing"
    assert all(ran[:2] in (whole[:2], whole[:1]) for ran in seeds.values())


def test_two_of_three_decide_where_the_whole_breaks_in_three(broken: Path, made: Made, say) -> None:
    say("shrink")
    counts = [len(entry["ran"]) for entry in state(broken) if "taps" not in entry["scenario"]]
    assert counts[0] == 3
    assert set(counts[1:]) == {2, 5}, "the smallest was run three times more"


def test_a_break_by_luck_is_none(broken: Path, made: Made, say) -> None:
    """Alone, the store's loss breaks under one seed of three."""
    made.breaks = lambda plan: "service.kill" in faults(plan) or ("redis.lose" in faults(plan) and plan.seed == 41)
    say("shrink")
    assert [row.fault for row in load(broken / "smallest.yaml", Scenario).faults] == ["service.kill"]


def test_a_flaky_break_is_pursued(broken: Path, made: Made, say) -> None:
    """The whole breaks under one seed of three, and so does the smallest."""
    made.breaks = lambda plan: "service.kill" in faults(plan) and plan.seed == 41
    said = say("shrink")
    assert [row.fault for row in load(broken / "smallest.yaml", Scenario).faults] == ["service.kill"]
    assert said.exit_code == 3, "none of the last runs broke"
    assert "lost in 0 of 3 runs after the search" in said.stdout
    assert "INVALID  storm-" in said.stdout, "the story is that of the run that chose it"


@pytest.mark.parametrize("verdict", [Verdict.VALID, Verdict.UNKNOWN])
def test_what_does_not_break_again_leaves_no_scenario(broken: Path, made: Made, say, verdict: Verdict) -> None:
    made.breaks, made.verdict = lambda plan: False, verdict
    said = say("shrink", "--runs", "4")
    assert said.exit_code == 3
    assert len(made.plans) == 4
    assert f"storm setnx_only did not break again: lost in none of 4 runs (4 {verdict.word})" in said.stdout
    assert "oneffect shrink r7f3a0000 --runs 12" in said.stdout
    assert not (broken / "smallest.yaml").exists()


def test_another_anomaly_is_another_bug_and_is_said(broken: Path, made: Made, say) -> None:
    made.breaks = lambda plan: bool({"service.kill", "net.hang"} & {*faults(plan)})
    made.anomaly = lambda plan: "lost" if "service.kill" in faults(plan) else "duplicate"
    said = say("shrink")
    assert [row.fault for row in load(broken / "smallest.yaml", Scenario).faults] == ["service.kill"]
    assert "duplicate in 2 other runs: another bug, which was not followed; see" in said.stdout


def test_unknown_is_no_break_and_is_counted(broken: Path, made: Made, say) -> None:
    made.verdict = Verdict.UNKNOWN
    said = say("shrink")
    assert said.exit_code == 0
    unknown = sum(ran["verdict"] == "unknown" for entry in state(broken) for ran in entry["ran"])
    assert unknown
    assert f"unknown in {unknown} runs, which show nothing" in said.stdout


def test_a_system_that_breaks_without_faults(broken: Path, made: Made, say) -> None:
    made.breaks = lambda plan: True
    assert say("shrink").exit_code == 0
    assert load(broken / "smallest.yaml", Scenario).faults == []


def test_the_system_as_it_is_may_be_what_breaks(project: Path, made: Made, say) -> None:
    broken = broken_run(project, None)
    said = say("shrink", "--out", "found/lost.yaml")
    assert said.exit_code == 0, said.stderr
    assert not (broken / "smallest.yaml").exists()
    scenario = load(Path("found/lost.yaml"), Scenario)
    assert (scenario.expect.model_dump(), scenario.variants) == ({"verdict": "invalid", "find": ["lost"]}, {})
    assert scenario.system == "../system.yaml"
    assert "again: oneffect run found/lost.yaml --seed" in said.stdout


@pytest.fixture
def at_work(made: Made, monkeypatch: pytest.MonkeyPatch) -> Made:
    """By the clock the kill breaks only beside the slow link; at the reply to a claim it breaks alone.

    Tapped runs have the claim in hand when it comes."""

    def breaks(plan: Plan) -> bool:
        kills = [row for row in plan.scenario.faults if row.fault == "service.kill"]
        return any((row.when and row.when.reply) or "net.latency" in faults(plan) for row in kills)

    run = made.run

    async def recording(plan: Plan, **more: object) -> Result:
        result = await run(plan, **more)  # type: ignore[arg-type]
        if plan.scenario.taps == "all":
            (kill,) = [planned for planned in plan.faults if planned.fault.name == "service.kill"]
            wire = {
                "op": "wire",
                "phase": "unanswered",
                "link": "ledger#1->redis",
                "command": "SET",
                "key": "claim:1",
            }
            records = [
                {"op": "upload", "phase": "ok", "t": 1, "upload_id": "u"},
                {**wire, "t_begin": 5, "t": 9},
                {"op": "service", "phase": "killed", "t": 7, "actor": f"fault:{kill.id}", "name": "ledger#1"},
            ]
            header = {
                "oneffect_history": 1,
                "run": "r1",
                "plan": plan.document,
                "plan_digest": plan.digest,
                "seed": plan.seed,
            }
            lines = [header, *({"i": i, "actor": "tap", **record} for i, record in enumerate(records, 1))]
            (result.directory / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return result

    made.breaks = breaks
    monkeypatch.setattr("harness.run.run", recording)
    return made


def test_a_moment_becomes_the_message_that_it_met(broken: Path, at_work: Made, say) -> None:
    said = say("shrink")
    assert said.exit_code == 0, said.stderr
    (row,) = load(broken / "smallest.yaml", Scenario).faults
    assert (row.fault, row.on, row.at, row.when.message) == ("service.kill", "ledger#1", None, ("reply", ("SET *",)))
    assert load(broken / "smallest.yaml", Scenario).taps is None
    runs = len(at_work.plans)
    assert say("shrink").exit_code == 0
    assert len(at_work.plans) == runs


def test_a_stack_without_taps_keeps_the_clock(
    broken: Path, at_work: Made, say, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks = lambda self, need, on=None: "no taps" if need is Tapping else None  # noqa: E731
    monkeypatch.setattr(FakeStack, "lacks", lacks)
    said = say("shrink")
    assert said.exit_code == 0, said.stderr
    assert "no moment can become a message: taps: the native stack cannot: no taps" in said.stderr
    rows = load(broken / "smallest.yaml", Scenario).faults
    assert [(row.fault, row.when) for row in rows] == [("net.latency", None), ("service.kill", None)]


def test_a_second_call_makes_no_run_again(broken: Path, made: Made, say) -> None:
    first = say("shrink")
    runs = len(made.plans)
    second = say("shrink")
    assert len(made.plans) == runs
    assert f"going on from {runs} runs in {broken}/shrink.json" in second.stdout
    assert second.stdout.partition("The smallest")[2] == first.stdout.partition("The smallest")[2]


def test_a_search_that_was_cut_short_goes_on_where_it_was(broken: Path, made: Made, say) -> None:
    say("shrink")
    complete, written = (
        [(plan.scenario.faults, plan.seed) for plan in made.plans],
        (broken / "smallest.yaml").read_text(),
    )
    (broken / "shrink.json").unlink()
    (broken / "smallest.yaml").unlink()
    for directory in (broken / "shrink").glob("run-*"):
        directory.rename(directory.with_name(f"before-{directory.name}"))
    made.plans.clear()
    made.errors = []
    made.breaks, whole = cut_short(made, after=7), made.breaks
    assert say("shrink").exit_code == 3, "the made-up error is none of the harness's own"
    assert not (broken / "smallest.yaml").exists()
    made.breaks = whole
    made.plans.pop()  # the one that ended it has no result
    said = say("shrink")
    assert said.exit_code == 0, said.stderr
    assert [(plan.scenario.faults, plan.seed) for plan in made.plans] == complete
    assert (broken / "smallest.yaml").read_text() == written


def cut_short(made: Made, after: int) -> Callable[[Plan], bool]:
    breaks = made.breaks

    def broken_off(plan: Plan) -> bool:
        if len(made.plans) > after:
            (plan.scenario_path.parent / f"run-{len(made.plans)}").rmdir()
            raise ZeroDivisionError
        return breaks(plan)

    return broken_off


def test_ctrl_c_says_how_to_go_on(broken: Path, made: Made, say, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made.run

    async def interrupted(plan: Plan, **more: object) -> Result:
        if len(made.plans) == 5:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(3600)
        return await run(plan, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("harness.run.run", interrupted)
    said = say("shrink")
    assert said.exit_code == 130
    assert "5 runs are kept; go on: oneffect shrink r7f3a0000 --runs 3" in said.stderr
    assert sum(len(entry["ran"]) for entry in state(broken)) == 5
    assert not (broken / "smallest.yaml").exists()


def test_a_budget_ends_the_search_with_what_there_is(
    broken: Path, made: Made, say, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    run = made.run

    async def slow(plan: Plan, **more: object) -> Result:
        clock.now += 60
        return await run(plan, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("harness.run.run", slow)
    monkeypatch.setattr("harness.commands.candidates.time", SimpleNamespace(monotonic=lambda: clock.now))
    said = say("shrink", "--budget", "7m")
    assert said.exit_code == 0
    assert len(made.plans) == 3 + 7 + 3, "the first and the last runs are not the search"
    assert "the budget is over; go on: oneffect shrink r7f3a0000 --runs 3" in said.stdout
    assert load(broken / "smallest.yaml", Scenario).summary.startswith("A smaller part of storm")
    assert say("shrink").exit_code == 0
    assert load(broken / "smallest.yaml", Scenario).summary.startswith("The smallest part of storm")


def test_a_run_that_could_not_be_made_is_tried_once_more(broken: Path, made: Made, lab, say) -> None:
    made.errors = [StackError("kafka did not answer\nits log")]
    said = say("shrink")
    assert said.exit_code == 0
    assert "could not be run, and is tried once more: kafka did not answer" in said.stderr
    assert (lab.started, lab.stopped) == (2, 2), "on a new stack"


def test_a_stack_that_never_starts_ends_it(broken: Path, made: Made, say) -> None:
    made.errors = [StackError("kafka did not answer")] * 2
    said = say("shrink")
    assert said.exit_code == 4
    assert "kafka did not answer" in said.stderr


def test_a_changed_system_is_said_and_judged_anew(project: Path, broken: Path, made: Made, say) -> None:
    say("shrink")
    runs = len(made.plans)
    system = project / "system.yaml"
    system.write_text(system.read_text().replace("orders: 2", "orders: 3"))
    said = say("shrink")
    assert "the system file has changed since this run" in said.stdout
    assert "is about another system or schedule; beginning anew" in said.stdout
    assert len(made.plans) == 2 * runs


@pytest.mark.parametrize(
    ("header", "words", "said"),
    [
        ({"plan": {"scenario": None}}, (), "has no schedule of faults to shrink"),
        ({"system_path": "gone.yaml"}, (), "gone.yaml: is not there; shrink the run in the folder"),
        ({}, ("nothing",), "no run directory 'nothing'"),
        ({}, ("--budget", "soon"), "--budget: 'soon' is not a duration"),
        ({}, ("--out", "found.txt"), "found.txt: name a .yaml file"),
        ({}, ("--out", "system.yaml/x.yaml"), "cannot be created"),
    ],
)
def test_what_is_refused(project: Path, made: Made, say, header, *, words, said) -> None:
    broken_run(project, "setnx_only", **header)
    answer = say("shrink", *words)
    assert answer.exit_code == 2
    assert said in answer.stderr
    assert not made.plans


def test_a_run_under_locust_is_refused_with_what_to_do(project: Path, made: Made, say) -> None:
    directory = broken_run(project, None)
    header = json.loads((directory / "history.jsonl").read_text())
    header["plan"]["users"] = {"users": 20}
    (directory / "history.jsonl").write_text(json.dumps(header) + "\n")
    said = say("shrink")
    assert said.exit_code == 2
    assert "run it with the scenario's own load: oneffect run scenarios/storm.yaml" in said.stderr


@pytest.mark.parametrize(("verdict", "find"), [("valid", "lost"), ("unknown", "lost"), ("invalid", "undecided")])
def test_only_an_invalid_run_is_shrunk(project: Path, made: Made, say, verdict: str, find: str) -> None:
    directory = broken_run(project, None)
    document = json.loads((directory / "verdict.json").read_text())
    document["verdict"] = verdict
    document["findings"][0]["anomalies"] = {find: {"count": 1, "told": [], "rows": []}}
    (directory / "verdict.json").write_text(json.dumps(document))
    said = say("shrink")
    assert said.exit_code == 2
    assert f"is {verdict}" in said.stderr


def test_a_run_that_is_not_judged_is_to_be_checked_first(broken: Path, made: Made, say) -> None:
    (broken / "verdict.json").unlink()
    said = say("shrink")
    assert said.exit_code == 2
    assert "run: oneffect check" in said.stderr
