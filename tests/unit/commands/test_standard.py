"""``oneffect run --all``: control first, then every standard scenario that fits; the runs themselves are made up."""

from pathlib import Path

import pytest

from harness.commands.standard import files
from harness.errors import FaultError, StackError
from harness.verdict import Verdict

EFFECTS = """
effects:
  ledger: {applies: [placed], sql: {url: "sqlite:///{data}/db", query: SELECT 1}}
"""


@pytest.fixture
def shop(project: Path) -> Path:
    """A system with Redis and no other service to call, no dead letters, and nothing to reprocess."""
    (project / "system.yaml").write_text((project / "system.yaml").read_text() + EFFECTS)
    return project


def test_control_comes_first_and_then_all_that_fits(shop: Path, lab, say) -> None:
    said = say("run", "--all", "--seed", "41")
    assert said.exit_code == 0, said.output
    assert [plan.label for plan in lab.plans] == ["control", "network", "redelivery", "redis-outage"]
    assert {plan.seed for plan in lab.plans} == {41}
    assert {plan.system.name for plan in lab.plans} == {"small"}
    assert (lab.opened, lab.started, lab.stopped) == (1, 1, 1)
    assert said.stdout.splitlines()[-1] == "4 of 4 scenarios valid, 2 do not fit; seed 41"


def test_what_does_not_fit_is_named_with_the_reason(shop: Path, lab, say) -> None:
    said = say("run", "--all", "--system", "system.yaml").stdout
    table = {line.split()[0]: line for line in said.splitlines() if "does not fit  " in line}
    assert table.keys() == {"malformed", "reprocess"}
    assert "the system has no topic of dead letters" in said
    assert "reprocess (the system does not say how" in said


def test_what_was_left_out_of_a_valid_run_is_named_beside_it(shop: Path, lab, say) -> None:
    said = say("run", "--all").stdout.splitlines()
    (row,) = [line.split() for line in said if line.startswith("network ")]
    assert row[:2] == ["network", "valid"]
    assert "network: left out: net.reset on front->services: the system has no link front->services" in said


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.INVALID, 1), (Verdict.UNKNOWN, 3)])
def test_a_system_that_is_wrong_without_any_fault_is_told_so_and_nothing_is_broken(
    shop: Path, lab, say, verdict: Verdict, code: int
) -> None:
    lab.verdicts = {"control": verdict}
    said = say("run", "--all")
    assert said.exit_code == code
    assert [plan.label for plan in lab.plans] == ["control"]
    last = said.stdout.splitlines()[-1]
    assert f"system.yaml is {verdict.word} without any fault, so nothing was broken" in last
    assert "network, redelivery, redis-outage" in last


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ({"network": Verdict.UNKNOWN}, 3),
        ({"network": Verdict.INVALID, "redelivery": Verdict.UNKNOWN}, 1),
    ],
)
def test_the_worst_run_decides(shop: Path, lab, say, verdicts: dict[str, Verdict], code: int) -> None:
    lab.verdicts = verdicts
    said = say("run", "--all")
    assert said.exit_code == code
    assert len(lab.plans) == 4
    assert f"{4 - len(verdicts)} of 4 scenarios valid" in said.stdout


def test_a_run_that_could_not_be_made_is_in_the_table(shop: Path, lab, say) -> None:
    lab.errors = {"network": FaultError("net.down on x could not be healed")}
    said = say("run", "--all")
    assert said.exit_code == 4
    assert [plan.label for plan in lab.plans] == ["control", "network", "redelivery", "redis-outage"]
    assert "network: could not be run: net.down on x could not be healed" in said.stdout
    assert "3 of 4 scenarios valid" in said.stdout


def test_a_system_that_does_not_start_is_one_message(shop: Path, lab, say) -> None:
    lab.errors = {"control": StackError("kafka was not ready")}
    said = say("run", "--all")
    assert said.exit_code == 4
    assert said.stderr.count("oneffect: ") == 1
    assert [plan.label for plan in lab.plans] == ["control"]


def test_a_stack_that_cannot_perform_a_scenario_leaves_the_others(
    shop: Path, lab, say, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.stack import Killable
    from tests.unit.commands.conftest import FakeStack

    monkeypatch.setattr(FakeStack, "lacks", lambda self, need, on=None: "no command" if need is Killable else None)
    said = say("run", "--all")
    assert said.exit_code == 0, said.output
    assert [plan.label for plan in lab.plans] == ["control", "network"]
    assert "the native stack cannot: no command" in said.stdout


@pytest.mark.parametrize("words", [("--all", "control"), ()])
def test_it_is_either_all_or_scenarios_by_name(shop: Path, lab, say, words: tuple[str, ...]) -> None:
    said = say("run", *words)
    assert said.exit_code == 2
    assert "name scenarios (oneffect list scenarios), or write --all" in said.stderr


def test_without_a_system_it_says_what_to_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lab, say) -> None:
    monkeypatch.chdir(tmp_path)
    said = say("run", "--all")
    assert said.exit_code == 2
    assert "--system FILE" in said.stderr


def test_one_standard_scenario_on_a_system_says_what_its_roles_are(shop: Path, lab, say) -> None:
    (shop / "scenarios" / "redelivery.yaml").unlink()
    said = say("run", "redelivery", "--system", "system.yaml", "--seed", "1")
    assert said.exit_code == 0, said.output
    assert "redelivery: consumers#2 is ledger#2" in said.stdout.splitlines()
    assert (
        "redelivery: left out: net.latency on consumers->services (the system has no link consumers->services)"
        in said.stdout
    )
    assert lab.plans[0].system.name == "small"


def test_control_is_the_first_of_the_standard_scenarios() -> None:
    assert [path.stem for path in files()] == [
        "control",
        "malformed",
        "network",
        "redelivery",
        "redis-outage",
        "reprocess",
    ]
