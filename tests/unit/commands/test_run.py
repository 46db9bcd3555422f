"""``oneffect run``: exit codes, seeds, stacks; the run itself is made up."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import FaultError, PlanRefused, ServiceExited
from harness.run import Result
from harness.verdict import Verdict
from tests.unit.commands.conftest import FakeStack


def test_a_valid_run_exits_with_0(project: Path, lab, say) -> None:
    said = say("run", "control", "--seed", "41")
    assert said.exit_code == 0
    assert "seed 41" in said.stdout
    assert "VALID  control  seed 41" in said.stdout
    assert [(plan.label, plan.seed) for plan in lab.plans] == [("control", 41)]


def test_the_printed_time_is_the_whole(project: Path, lab, say, monkeypatch: pytest.MonkeyPatch) -> None:
    """The history ends before it is judged: its last record knows nothing of judging and reports."""
    clock = SimpleNamespace(now=100.0)
    made = lab.run

    async def slow(*given: object, **more: object) -> Result:
        clock.now += 34.2
        return await made(*given, **more)

    monkeypatch.setattr("harness.run.run", slow)
    monkeypatch.setattr("harness.commands.run.time", SimpleNamespace(monotonic=lambda: clock.now))
    assert "; 3.0 s recorded, 34.2 s in all" in say("run", "control").stdout


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([Verdict.VALID, Verdict.VALID], 0),
        ([Verdict.VALID, Verdict.UNKNOWN], 3),
        ([Verdict.UNKNOWN, Verdict.VALID], 3),
        ([Verdict.INVALID, Verdict.UNKNOWN], 1),
        ([Verdict.UNKNOWN, Verdict.INVALID], 1),
    ],
)
def test_the_worst_verdict_decides(project: Path, lab, say, verdicts: list[Verdict], code: int) -> None:
    lab.verdicts = dict(zip(["control", "network"], verdicts, strict=True))
    assert say("run", "control", "network").exit_code == code


def test_one_stack_serves_all_scenarios_of_a_system(project: Path, lab, say) -> None:
    assert say("run", "control", "network", "redelivery").exit_code == 0
    assert (lab.opened, lab.started, lab.stopped) == (1, 1, 1)
    assert len(set(lab.stacks)) == 1


def test_a_seed_is_drawn_and_said(project: Path, lab, say) -> None:
    said = say("run", "control")
    assert f"seed {lab.plans[0].seed}\n" in said.stdout


def test_two_draws_differ(project: Path, lab, say) -> None:
    for _ in range(4):
        say("run", "control")
    assert len({plan.seed for plan in lab.plans}) > 1


def test_a_scenario_by_path_from_elsewhere(project: Path, lab, say, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "deep" / "deeper").mkdir(parents=True)
    monkeypatch.chdir(project / "deep" / "deeper")
    assert say("run", "control").exit_code == 0
    assert say("run", "../../scenarios/network.yaml").exit_code == 0


def test_another_system(project: Path, lab, say) -> None:
    (project / "other.yaml").write_text("extends: system.yaml\nname: other\n")
    assert say("run", "control", "--system", "other.yaml").exit_code == 0
    assert lab.plans[0].system.name == "other"


def test_the_nearest_system_upward(project: Path, lab, say) -> None:
    text = (project / "scenarios" / "control.yaml").read_text().replace("system: ../system.yaml\n", "")
    (project / "scenarios" / "control.yaml").write_text(text)
    assert say("run", "control").exit_code == 0
    assert lab.plans[0].system.name == "small"


def test_a_variant(project: Path, lab, say) -> None:
    lab.verdicts = {"redelivery setnx_only": Verdict.INVALID}
    said = say("run", "redelivery", "--variant", "setnx_only", "--seed", "3")
    assert said.exit_code == 1
    assert "INVALID  redelivery setnx_only  seed 3  exactly one effect: lost 2 of 40" in said.stdout
    assert "story: oneffect show" in said.stdout


def test_run_directories_go_where_they_are_told(project: Path, lab, say) -> None:
    assert say("run", "control", "--out", "there").exit_code == 0
    assert json.loads(next(Path("there").glob("run-*/verdict.json")).read_text())["label"] == "control"


def test_run_directories_go_to_a_folder_of_their_own(project: Path, lab, say) -> None:
    say("run", "control")
    assert list(Path(".oneffect/runs").glob("run-*"))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ServiceExited("shop#1: ended with 1\nlog \x1b[31mtail"), 4),
        (FaultError("net.hang on x could not be healed"), 4),
        (ExceptionGroup("several", [ExceptionGroup("of them", [FaultError("net.hang on x")]), ValueError("y")]), 4),
    ],
)
def test_an_error_is_one_message_and_everything_is_stopped(
    project: Path, lab, say, error: Exception, code: int
) -> None:
    lab.errors = {"control": error}
    said = say("run", "control")
    assert said.exit_code == code
    assert said.stderr.count("oneffect: ") == 1
    assert "Traceback" not in said.stderr
    assert "\x1b" not in said.stderr
    assert (lab.started, lab.stopped) == (1, 1)


def test_a_mistake_of_the_programs_own_looks_like_no_verdict(project: Path, lab, say) -> None:
    lab.errors = {"control": ZeroDivisionError("x")}
    said = say("run", "control")
    assert said.exit_code == 3
    assert "a bug in oneffect itself" in said.stderr
    assert lab.stopped == 1


def test_what_the_stack_cannot_do_is_refused_before_it_starts(
    project: Path, lab, say, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(plan: object, folder: object) -> None:
        raise PlanRefused("content.full on x: the native stack cannot: y")

    monkeypatch.setattr("harness.session.stacks.open_stack", refused)
    said = say("run", "control")
    assert said.exit_code == 2
    assert "the native stack cannot" in said.stderr
    assert not lab.plans


class KeepingStack(FakeStack):
    """Leaves all but what it says."""

    def __init__(self, lab) -> None:
        super().__init__(lab)
        self.keeps = False
        self.unkept: list[str] = []

    async def stop(self) -> None:
        await super().stop()
        self.unkept = ["kafka: too \x1b[31mlarge"] if self.keeps else []


def test_kept_data_are_each_run_s_own_and_it_is_said_where(
    project: Path, lab, say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.session.stacks.open_stack", lambda plan, folder: KeepingStack(lab))
    said = say("run", "control", "network", "--keep", "--out", "there")
    assert said.exit_code == 0
    assert (lab.started, lab.stopped, len(set(lab.stacks))) == (2, 2, 2)
    for number, name in ((1, "control"), (2, "network")):
        assert f"data: there/run-{number}-{name}/data\n  not kept: kafka: too \\x1b[31mlarge\n" in said.stdout


def test_nothing_is_kept_that_nobody_asked_for(project: Path, lab, say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.session.stacks.open_stack", lambda plan, folder: KeepingStack(lab))
    said = say("run", "control")
    assert [stack.keeps for stack in lab.stacks] == [False]
    assert "data:" not in said.stdout


def test_a_stack_that_removes_nothing_keeps_nothing(project: Path, lab, say) -> None:
    said = say("run", "control", "--keep")
    assert (said.exit_code, lab.started) == (2, 0)
    assert "its data stay where they are" in said.stderr


def test_a_system_file_at_hand_that_a_scenario_does_not_run_on_is_named(project: Path, lab, say) -> None:
    """A reader would take the verdict for that of their own system."""
    other = project / "other"
    other.mkdir()
    (other / "system.yaml").write_text((project / "system.yaml").read_text())
    scenario = (project / "scenarios" / "control.yaml").read_text()
    (other / "mine.yaml").write_text(scenario.replace("../system.yaml", "system.yaml"))
    said = " ".join(say("run", "other/mine.yaml").stdout.split())
    assert "not on " in said
    assert "add --system " in said
    assert "not on " not in say("run", "control").stdout
    assert "not on " not in say("run", "other/mine.yaml", "--system", "other/system.yaml").stdout
