import pytest

from harness.errors import PlanRefused
from harness.faults.targets import cut_off, resolve

ONE, TWO = "essay_lifecycle#1", "essay_lifecycle#2"


@pytest.mark.parametrize(
    ("target", "pattern", "names"),
    [
        ("link", "essay_lifecycle#1->redis", [f"{ONE}->redis"]),
        ("link", "essay_lifecycle->redis", [f"{ONE}->redis", f"{TWO}->redis"]),
        ("link", "*->kafka", ["file_service#1->kafka", f"{ONE}->kafka", f"{TWO}->kafka"]),
        ("link", "essay_lifecycle#2->*", [f"{TWO}->content_service", f"{TWO}->kafka", f"{TWO}->redis"]),
        ("replica", "essay_lifecycle#1", [ONE]),
        ("replica", "essay_lifecycle", [ONE, TWO]),
        ("replica", "*", ["content_service#1", "file_service#1", ONE, TWO]),
        ("service", "essay_lifecycle", ["essay_lifecycle"]),
        ("topic", "essays", ["essays"]),
        ("redis", "redis", ["redis"]),
        ("cut", "essay_lifecycle#2", [TWO]),
        ("cut", "redis", ["redis"]),
    ],
)
def test_a_pattern_stands_for_names(system, target, pattern, names) -> None:
    assert resolve(target, pattern, system) == names


@pytest.mark.parametrize(
    ("target", "pattern", "said"),
    [
        (
            "link",
            "essay_lifecycle->redys",
            r"nearest: essay_lifecycle->redis\); known: .*essay_lifecycle#1->redis",
        ),
        ("link", "redis", "is not a link; write SERVICE->DEPENDENCY"),
        ("link", "content_service->redis", "no link 'content_service->redis'"),
        ("replica", "essay_lifecycle#3", r"nearest: essay_lifecycle#\d"),
        ("service", "essay_lifecicle", r"nearest: essay_lifecycle\)"),
        ("topic", "essais", r"nearest: essays\); known: essays, single"),
        ("redis", "kafka", "no redis dependency 'kafka'; known: redis"),
        ("cut", "redos", r"nearest: redis\)"),
    ],
)
def test_an_unknown_name_is_refused_with_what_is_allowed(system, target, pattern, said) -> None:
    with pytest.raises(PlanRefused, match=said):
        resolve(target, pattern, system)


def test_a_replica_is_cut_off_what_it_has_links_to(system) -> None:
    cut_off(ONE, ["redis", "kafka"], system)
    with pytest.raises(PlanRefused, match=r"no link from file_service#1 to 'redis'.*known: kafka"):
        cut_off("file_service#1", ["redis"], system)


def test_a_dependency_is_cut_off_everybody(system) -> None:
    cut_off("redis", [], system)
    with pytest.raises(PlanRefused, match="leave `from` out"):
        cut_off("redis", ["kafka"], system)


def test_a_replica_without_links_cannot_be_cut_off(system) -> None:
    with pytest.raises(PlanRefused, match="no links"):
        cut_off("content_service#1", [], system)
