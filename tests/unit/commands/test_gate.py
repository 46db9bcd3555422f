"""``oneffect gate``: which runs it makes, what it writes, and its exit codes; the runs are made up."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.errors import PlanRefused, StackError
from harness.plan import Plan
from harness.session import stacks
from harness.verdict import Verdict


def tag(project: Path, *names: str) -> None:
    for name in names:
        path = project / "scenarios" / f"{name}.yaml"
        path.write_text(path.read_text() + "tags: [gate]\n")


@pytest.fixture
def gated(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    tag(project, "control", "redelivery")
    return project


ALL = ["control", "control setnx_only", "redelivery", "redelivery setnx_only"]


def labels(lab) -> list[str]:
    return sorted(plan.label for plan in lab.plans)


def test_the_tagged_ones_on_the_system_and_on_each_variant(gated: Path, lab, say) -> None:
    said = say("gate", "--seed", "7")
    assert said.exit_code == 0, said.stderr
    assert labels(lab) == ALL
    assert {plan.seed for plan in lab.plans} == {7}
    assert lab.started == lab.stopped == 2
    assert said.stdout.splitlines()[-1] == "all 4 runs passed"


@pytest.mark.parametrize("words", [["scenarios"], ["scenarios/control.yaml", "redelivery"]], ids=" ".join)
def test_a_folder_a_file_and_a_name(gated: Path, lab, say, words: list[str]) -> None:
    assert say("gate", *words).exit_code == 0
    assert labels(lab) == ALL


def test_a_system_file_in_the_folder_is_no_scenario(gated: Path, lab, say) -> None:
    (gated / "scenarios" / "system.yaml").write_text("oneffect: 1\nname: shop\nservices: {}\n")
    (gated / "scenarios" / "system.overlay.yaml").write_text("extends: system.yaml\n")
    assert say("gate", "scenarios").exit_code == 0
    assert labels(lab) == ALL


@pytest.mark.parametrize(
    ("label", "verdict"),
    [("control", Verdict.UNKNOWN), ("control", Verdict.INVALID), ("redelivery setnx_only", Verdict.VALID)],
)
def test_one_that_is_not_as_expected(gated: Path, lab, say, label: str, verdict: Verdict) -> None:
    lab.verdicts = {label: verdict}
    said = say("gate")
    assert said.exit_code == 1
    assert said.stdout.splitlines()[-1] == "1 of 4 runs did not pass"
    assert f"{label}: {verdict.word}" in said.stdout
    assert len(lab.plans) == 4, "nothing is tried again"


def test_a_run_that_cannot_be_made_does_not_end_the_others(gated: Path, lab, say) -> None:
    lab.errors = {"control": StackError("shop#1 ended\n\x1b[31mits log")}
    said = say("gate", "--junit", "junit.xml")
    assert said.exit_code == 4
    assert labels(lab) == ALL
    assert "\x1b" not in said.stdout + said.stderr
    assert "control: could not be run: shop#1 ended" in said.stdout
    assert lab.started == lab.stopped
    assert lab.opened == 3, "what broke once is not used again"
    assert ET.parse(gated / "junit.xml").find(".//error").get("message") == "could not be run: shop#1 ended"


def test_a_wrong_verdict_weighs_more_than_an_error(gated: Path, lab, say) -> None:
    lab.errors = {"control": StackError("x")}
    lab.verdicts = {"redelivery": Verdict.INVALID}
    assert say("gate").exit_code == 1


def test_the_files(gated: Path, lab, say) -> None:
    lab.verdicts = {"control": Verdict.INVALID}
    words = ["--junit", "out/junit.xml", "--summary", "out/summary.md", "--html", "out/html", "--seed", "5"]
    assert say("gate", *words).exit_code == 1
    root = ET.parse(gated / "out" / "junit.xml").getroot()
    assert [one.get("name") for one in root.iter("testcase")] == ["reference", "setnx_only"] * 2
    assert len(list(root.iter("failure"))) == 1
    assert "1 of 4 runs did not pass" in (gated / "out" / "summary.md").read_text()
    assert not list((gated / "out" / "html").iterdir())


def test_reports_are_copied(gated: Path, lab, say, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up = lab.run

    async def with_report(plan, **words):
        result = await made_up(plan, **words)
        (result.directory / "report.html").write_text(plan.label)
        return result

    monkeypatch.setattr("harness.run.run", with_report)
    assert say("gate", "--html", "html").exit_code == 0
    assert {path.name: path.read_text() for path in (gated / "html").iterdir()} == {
        f"{label.replace(' ', '.')}.html": label for label in ALL
    }


def test_on_github(gated: Path, lab, say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(gated))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(gated / "step.md"))
    (gated / "step.md").write_text("before\n")
    lab.verdicts = {"redelivery setnx_only": Verdict.VALID}
    lines = say("gate").stdout.splitlines()
    expects = (gated / "scenarios" / "redelivery.yaml").read_text().splitlines()
    number = next(n for n, line in enumerate(expects, 1) if line.startswith("variants:"))
    assert lines[-1].startswith(
        f"::error file=scenarios/redelivery.yaml,line={number},title=oneffect redelivery setnx_only::valid, expected"
    )
    assert lines[0].startswith("::stop-commands::")
    assert lines[-2] == f"::{lines[0].removeprefix('::stop-commands::')}::"
    step = (gated / "step.md").read_text()
    assert step.startswith("before\n## oneffect: ")


def test_elsewhere_there_are_no_workflow_commands(gated: Path, lab, say) -> None:
    lab.verdicts = {"control": Verdict.INVALID}
    assert not any(line.startswith("::") for line in say("gate").stdout.splitlines())


def test_a_base_is_kept_and_compared_with(gated: Path, lab, say) -> None:
    assert say("gate", "--write-base", "base.json").exit_code == 0
    kept = json.loads((gated / "base.json").read_text())["runs"]
    assert kept["redelivery setnx_only"] == {
        "verdict": "invalid",
        "anomalies": ["lost"],
        "bitten": {},
        "folder": "scenarios",
    }
    assert say("gate", "--base", "base.json").exit_code == 0
    path = gated / "scenarios" / "control.yaml"
    path.write_text(path.read_text().replace("tags: [gate]", "tags: []"))
    said = say("gate", "--base", "base.json", "--junit", "junit.xml")
    assert said.exit_code == 1
    assert "control: could not be run: no longer bites" in said.stdout
    assert len(list(ET.parse(gated / "junit.xml").iter("error"))) == 2
    assert say("gate", "scenarios/redelivery.yaml", "--base", "base.json").exit_code == 0


@pytest.mark.parametrize("paths", [[], ["scenarios"], ["more", "scenarios"]], ids=" ".join)
def test_what_a_folder_no_longer_runs_is_missed(gated: Path, lab, say, paths: list[str]) -> None:
    elsewhere(gated)
    assert say("gate", "scenarios", "more", "--write-base", "base.json").exit_code == 0
    (gated / "scenarios" / "control.yaml").unlink()
    said = say("gate", *paths, "--base", "base.json")
    assert said.exit_code == 1
    assert "control setnx_only: could not be run: no longer bites" in said.stdout


@pytest.mark.parametrize("path", ["scenarios", "more"])
def test_what_another_folder_runs_is_not_missed(gated: Path, lab, say, path: str) -> None:
    elsewhere(gated)
    assert say("gate", "scenarios", "more", "--write-base", "base.json").exit_code == 0
    assert say("gate", path, "--base", "base.json").exit_code == 0


@pytest.mark.parametrize("path", ["scenarios", "redelivery", "scenarios/redelivery.yaml"])
def test_a_variant_that_a_scenario_no_longer_names_is_missed(gated: Path, lab, say, path: str) -> None:
    assert say("gate", "--write-base", "base.json").exit_code == 0
    scenario = gated / "scenarios" / "redelivery.yaml"
    lines = scenario.read_text().splitlines(keepends=True)
    scenario.write_text("".join(line for line in lines if not line.startswith("variants:")))
    said = say("gate", path, "--base", "base.json")
    assert said.exit_code == 1
    assert "redelivery setnx_only: could not be run: no longer bites" in said.stdout
    assert "1 of" in said.stdout.splitlines()[-1]


def elsewhere(project: Path) -> None:
    """A second folder, whose one scenario is tagged."""
    (project / "more").mkdir()
    text = (project / "scenarios" / "control.yaml").read_text()
    (project / "more" / "other.yaml").write_text(text.replace("name: control", "name: other"))


def test_a_failed_gate_is_no_base(gated: Path, lab, say) -> None:
    lab.verdicts = {"control": Verdict.INVALID}
    assert say("gate", "--write-base", "base.json").exit_code == 1
    assert not (gated / "base.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["network"], "network.yaml: is not tagged for the gate"),
        (["none"], "no scenario 'none'"),
        (["empty"], "no scenario in empty is tagged for the gate"),
        (["--base", "none.json"], "none.json: cannot be read"),
        (["--base", "system.yaml"], "system.yaml: is not JSON"),
        (["--junit", "scenarios"], "scenarios: is a folder"),
        (["--junit", "system.yaml/junit.xml"], "system.yaml: cannot be created"),
        (["--summary", "scenarios"], "scenarios: is a folder"),
        (["--write-base", "system.yaml/base.json"], "system.yaml: cannot be created"),
        (["--html", "system.yaml"], "system.yaml: cannot be created"),
        (["--out", "system.yaml"], "system.yaml: cannot be created"),
        (["--seed", str(2**60)], "out of range"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(gated: Path, lab, say, words: list[str], said: str) -> None:
    (gated / "empty").mkdir()
    done = say("gate", *words)
    assert done.exit_code == 2
    assert done.stderr.startswith("oneffect: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert not lab.plans
    assert not lab.started


def test_no_scenario_is_tagged(project: Path, lab, say) -> None:
    done = say("gate")
    assert done.exit_code == 2
    assert done.stderr == (
        "oneffect: no scenario in scenarios is tagged for the gate; write `tags: [gate]` into one\n"
    )
    assert not lab.started


def test_what_a_stack_cannot_do_is_refused_before_any_starts(
    gated: Path, lab, say, monkeypatch: pytest.MonkeyPatch
) -> None:
    (gated / "other.yaml").write_text("extends: system.yaml\nname: other\n")
    path = gated / "scenarios" / "redelivery.yaml"
    path.write_text(path.read_text().replace("../system.yaml", "../other.yaml"))
    opened = stacks.open_stack

    def refused(plan: Plan, folder: Path) -> object:
        if plan.system.name == "other":
            raise PlanRefused("content.full on x: the native stack cannot: y")
        return opened(plan, folder)

    monkeypatch.setattr("harness.session.stacks.open_stack", refused)
    assert say("gate").exit_code == 2
    assert not lab.started


def test_two_of_one_name(gated: Path, lab, say) -> None:
    (gated / "scenarios" / "copy.yaml").write_text((gated / "scenarios" / "control.yaml").read_text())
    done = say("gate")
    assert done.exit_code == 2
    assert "both named 'control'" in done.stderr
    assert not lab.started
