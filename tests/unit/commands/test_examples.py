"""The examples' files as they stand: whole, short, and each with a wrong form that its scenarios tell from the right one."""

from pathlib import Path

import pytest

from harness.plan import make_plan
from tests.docs.pages import ROOT

EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/system.yaml"))
SHORT = 40
"""Lines; a system file has fewer."""


def scenarios(example: Path) -> list[Path]:
    return [path for path in example.glob("*.yaml") if path.name != "system.yaml"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_its_files_have_nothing_wrong_and_the_system_file_is_short(example: Path, say) -> None:
    files = [example / "system.yaml", *scenarios(example)]
    said = say("validate", *map(str, files))
    assert said.exit_code == 0, said.stdout + said.stderr
    assert len((example / "system.yaml").read_text().splitlines()) < SHORT
    assert (example / "README.md").is_file()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_each_flaw_that_must_be_found_is_found_by_a_scenario(example: Path) -> None:
    plans = [make_plan(path, system_path=None, variant=None, seed=1, stack="native") for path in scenarios(example)]
    assert plans
    assert all(plan.scenario.expect.verdict == "valid" and not plan.left_out for plan in plans)
    found = {
        (name, anomaly)
        for plan in plans
        for name, expected in plan.scenario.variants.items()
        for anomaly in expected.find
    }
    variants = plans[0].system.variants
    assert variants is not None
    assert {(name, anomaly) for name, anomalies in variants.find.items() for anomaly in anomalies} == found
