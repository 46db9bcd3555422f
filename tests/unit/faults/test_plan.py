import pytest

from harness.errors import FileError
from harness.faults import TABLE, fault_type
from harness.faults.plan import overlaps, plan_rows
from harness.scenario import Scenario


def planned(system, seed=41, **row):
    scenario = Scenario.model_validate(
        {"oneffect": 1, "name": "one", "load": {"uploads": 40, "rate": "20/s"}, "faults": [{"at": "10%", **row}]}
    )
    return [fault for row in plan_rows(scenario, system, seed, "one.yaml") for fault in row]


@pytest.mark.parametrize("name", TABLE)
def test_every_row_of_the_table_is_a_whole_fault(name) -> None:
    fault = fault_type(name)
    assert fault.name == name
    assert fault.summary.endswith(".")
    assert vars(fault)["bites"].endswith("."), "say what a bite of it is"
    assert fault.__doc__


def test_each_target_is_an_instance_with_an_id_and_a_seed_of_its_own(system) -> None:
    one, two = planned(system, fault="net.down", on="essay_lifecycle->redis", **{"for": "1s"})
    assert (one.id, two.id) == ("f1", "f2")
    assert one.seed != two.seed
    assert one.lasts == 1.0


def test_windows_overlap_as_the_schedule_says_in_seconds_and_in_shares_of_the_load(system) -> None:
    (first,) = planned(system, fault="net.down", on="essay_lifecycle#1->redis", at="10%", **{"for": "3s"})
    (inner,) = planned(system, fault="net.hang", on="essay_lifecycle#1->redis", at="20%", **{"for": "1s"})
    (across,) = planned(system, fault="net.hang", on="essay_lifecycle#1->redis", at=3.5, **{"for": "2s"})
    (behind,) = planned(system, fault="net.hang", on="essay_lifecycle#1->redis", at="50%", **{"for": "1s"})
    (point,) = planned(system, fault="kafka.duplicate", on="essays", at="20%", count=3)
    every = [first, inner, across, behind, point]
    assert overlaps(first, every, duration=10) == [(inner, 1.0), (across, 0.5)]
    assert overlaps(inner, every, duration=10) == []
    assert overlaps(first, [first, first], duration=10) == [], "those that begin together end as they may"


def test_the_same_seed_plans_the_same(system) -> None:
    row = {"fault": "kafka.duplicate", "on": "essays", "count": 3}
    assert [p.document() for p in planned(system, **row)] == [p.document() for p in planned(system, **row)]
    assert planned(system, **row)[0].seed != planned(system, seed=42, **row)[0].seed


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"fault": "net.hangs", "on": "x"},
            r"one.yaml: faults\[0\]: there is no fault 'net.hangs' \(nearest: net.hang\)",
        ),
        ({"fault": "net.hang", "on": "essay_lifecycle->redis"}, "net.hang heals, so say how long"),
        (
            {"fault": "kafka.duplicate", "on": "essays", "count": 3, "for": "1s"},
            "does not heal, so it takes no `for`",
        ),
        ({"fault": "kafka.duplicate", "on": "essays"}, "count: Field required"),
        ({"fault": "kafka.duplicate", "on": "essays", "count": 0}, "count: Input should be greater"),
        ({"fault": "net.down", "for": "1s"}, "needs a target"),
        (
            {"fault": "net.hang", "on": "essay_lifecycle->redis", "for": "1s", "direktion": "both"},
            r"direktion: net.hang has no such parameter \(nearest: direction\); it takes direction",
        ),
        (
            {"fault": "net.latency", "on": "essay_lifecycle->redis", "for": "1s", "latency": "3"},
            "latency: .*a duration like 250ms",
        ),
        (
            {"fault": "net.partition", "on": "essay_lifecycle#1", "for": "1s", "from": ["redys"]},
            r"nearest: redis",
        ),
        (
            {"fault": "service.scale", "on": "essay_lifecycle", "for": "1s", "to": 2},
            "to: essay_lifecycle has 2 replicas; write a smaller number",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(system, row, said) -> None:
    with pytest.raises(FileError, match=said):
        planned(system, **row)
