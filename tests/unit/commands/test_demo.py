"""``oneffect demo``: which runs it makes, and what it says of them; the runs are made up."""

from pathlib import Path

import pytest

from harness.errors import StackError
from harness.verdict import Verdict

LABELS = {
    "redelivery",
    "redis-outage",
    "network",
    "control setnx_only",
    "redelivery setnx_only",
    "redis-outage setnx_only",
    "network setnx_only",
}


def test_every_run_is_made_on_two_stacks_at_once(project: Path, lab, say) -> None:
    said = say("demo", "--seed", "7")
    assert said.exit_code == 0
    assert {plan.label for plan in lab.plans} == LABELS
    assert {plan.seed for plan in lab.plans} == {7}
    assert (lab.opened, lab.started, lab.stopped) == (2, 2, 2)
    assert len(set(lab.stacks)) == 2


def test_where_a_project_lacks_one_of_them_all_are_those_that_came_with_the_harness(project: Path, lab, say) -> None:
    (project / "scenarios" / "network.yaml").unlink()
    assert say("demo", "--seed", "7").exit_code == 0
    assert {plan.label for plan in lab.plans} == LABELS
    assert {plan.system.name for plan in lab.plans} == {"reference-lifecycle"}


def test_each_anomaly_has_its_story(project: Path, lab, say) -> None:
    said = say("demo").stdout
    assert "event 7f3a… ledger  redelivery setnx_only" in said
    assert "every verdict is the expected one" in said


def test_the_table_has_a_row_for_each_run(project: Path, lab, say) -> None:
    lines = say("demo", "--seed", "7").stdout.splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("scenario"))
    rows = [line.split()[:3] for line in lines[head + 1 : head + 8]]
    assert ["redelivery", "reference", "valid"] in rows
    assert ["control", "setnx_only", "valid"] in rows
    assert ["redelivery", "setnx_only", "invalid"] in rows


@pytest.mark.parametrize(
    ("label", "verdict"),
    [("control setnx_only", Verdict.INVALID), ("redelivery setnx_only", Verdict.VALID), ("network", Verdict.UNKNOWN)],
)
def test_one_that_is_not_as_expected(project: Path, lab, say, label: str, verdict: Verdict) -> None:
    lab.verdicts = {label: verdict}
    said = say("demo")
    assert said.exit_code == 1
    assert "NOT every verdict is the expected one" in said.stdout
    assert "not as expected: the scenario expects" in said.stdout


def test_an_error_in_one_lane_ends_both(project: Path, lab, say) -> None:
    lab.errors = {"redelivery": StackError("kafka did not start")}
    said = say("demo")
    assert said.exit_code == 4
    assert said.stderr.splitlines()[-1] == "oneffect: kafka did not start"
    assert lab.started == lab.stopped
