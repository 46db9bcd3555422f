"""A candidate is the same before and after it was written, recorded and read."""

import json
from pathlib import Path

import pytest

from harness.files import load
from harness.files.dump import dumped
from harness.scenario import Scenario
from harness.shrink import written
from harness.shrink.candidate import Candidate
from tests.unit.shrink.conftest import candidate

SCENARIOS = sorted((Path(__file__).parents[3] / "scenarios").glob("*.yaml"))
EVERY = '{fault: tap.error, on: "ledger->redis", when: {request: [SET *, GET *], every: 5}, error: READONLY}'


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_comes_back_from_its_plan_and_from_a_file(path: Path, tmp_path: Path) -> None:
    scenario = load(path, Scenario)
    whole = Candidate.of(scenario)
    plan = json.loads(json.dumps(scenario.model_dump(mode="json", exclude={"system"})))
    assert Candidate.of(written.recorded(plan)) == whole
    file = tmp_path / "one.yaml"
    file.write_text(dumped({"oneffect": 1, "name": "one", **whole.document()}))
    again = Candidate.of(load(file, Scenario))
    assert (again, again.identity) == (whole, whole.identity)


def test_a_condition_with_every_comes_back_without_the_nth_that_it_has_by_default() -> None:
    whole = candidate(EVERY)
    plan = Scenario.model_validate({"oneffect": 1, "name": "one", **whole.document()}).model_dump(mode="json")
    assert plan["faults"][0]["when"]["nth"] == 1
    assert Candidate.of(written.recorded(plan)).identity == whole.identity


def test_an_identity_outlasts_the_process() -> None:
    assert candidate("{fault: service.kill, on: ledger, at: 25%, for: 500ms}").identity == "6b09bdd4768c6bdb"


def test_how_large_it_is() -> None:
    kill, hang = (
        "{fault: service.kill, on: ledger, at: 25%, for: 500ms}",
        '{fault: net.hang, on: "a->b", at: 1s, for: 1s}',
    )
    assert candidate(kill, hang).size == "2 faults for 1.5s, 120 uploads"
    assert candidate(again="[{replay: all, at: 10%}]").size == "no faults, 1 request of again, 120 uploads"
