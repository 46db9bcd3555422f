"""What a role stands for on a system with two consumers, a cache of its own name and a topic that only one of them reads."""

import pytest

from harness.errors import PlanRefused, SystemLacks
from harness.faults.roles import is_role
from harness.faults.targets import cut_off, resolve
from harness.system import System

CONSUMER = {"command": "python x.py", "env": {"KAFKA": "{kafka}", "CACHE": "{cache}", "PRICES": "{prices}"}}
EFFECTS = {"applies": ["placed"], "sql": {"url": "sqlite:///{data}/db", "query": "SELECT 1"}}


def system_of(**changes) -> System:
    return System.model_validate(
        {
            "oneffect": 1,
            "name": "shop",
            "dependencies": {"kafka": {"topics": {"orders": 4, "refusals": 1, "letters": 1}}, "cache": {"kind": "redis"}},
            "services": {
                "prices": {"command": "python prices.py"},
                "shop": {"command": "python shop.py", "env": {"KAFKA": "{kafka}"}},
                "billing": {**CONSUMER, "replicas": 2},
                "shipping": {**CONSUMER, "env": {"KAFKA": "{kafka}"}},
            },
            "load": {"upload": {"to": "shop", "post": "/"}},
            "events": {"id": "/id", "type": "/type", "topics": ["orders", "refusals"]},
            "effects": {"shipping": EFFECTS, "billing": EFFECTS},
            "dead_letters": {
                "topic": "letters", "id": "/id", "consumer": "/by", "source": "/source", "kind": "/kind"
            },
            **changes,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("target", "pattern", "names"),
    [
        ("replica", "consumers", ["billing#1", "billing#2", "shipping#1"]),
        ("replica", "consumers#1", ["billing#1", "shipping#1"]),
        ("replica", "consumers#2", ["billing#2"]),
        ("replica", "consumer", ["billing#1", "billing#2"]),
        ("replica", "consumer#2", ["billing#2"]),
        ("replica", "front", ["shop#1"]),
        ("service", "consumers", ["billing", "shipping"]),
        ("service", "consumer", ["billing"]),
        ("service", "front", ["shop"]),
        ("link", "consumers->redis", ["billing#1->cache", "billing#2->cache"]),
        ("link", "*->redis", ["billing#1->cache", "billing#2->cache"]),
        ("link", "consumer#1->kafka", ["billing#1->kafka"]),
        ("link", "consumers->kafka", ["billing#1->kafka", "billing#2->kafka", "shipping#1->kafka"]),
        ("link", "billing#2->dependencies", ["billing#2->cache", "billing#2->kafka"]),
        ("link", "consumers->services", ["billing#1->prices", "billing#2->prices"]),
        ("link", "front->*", ["shop#1->kafka"]),
        ("topic", "events", ["orders", "refusals"]),
        ("topic", "consumed", ["orders", "refusals"]),
        ("topic", "dead_letters", ["letters"]),
        ("redis", "redis", ["cache"]),
        ("cut", "consumers#1", ["billing#1", "shipping#1"]),
        ("cut", "redis", ["cache"]),
        ("cut", "dependencies", ["kafka", "cache"]),
    ],
)
def test_a_role_stands_for_names(target, pattern, names) -> None:
    assert resolve(target, pattern, system_of()) == names


@pytest.mark.parametrize(
    ("target", "pattern", "said"),
    [
        ("link", "consumers->postgres", "the system has no dependency of kind postgres"),
        ("link", "front->redis", "the system has no link front->redis"),
        ("link", "consumers#3->redis", "no consumer has a replica #3"),
        ("replica", "consumer#3", "the first consumer has no replica #3"),
        ("replica", "front#2", "the front door has no replica #2"),
        ("cut", "postgres", "the system has no dependency of kind postgres"),
    ],
)
def test_what_a_system_lacks_is_said(target, pattern, said) -> None:
    with pytest.raises(SystemLacks, match=said):
        resolve(target, pattern, system_of())


@pytest.mark.parametrize(
    ("target", "pattern", "gone", "said"),
    [
        ("replica", "consumers", "effects", "the system has no service with effects"),
        ("topic", "consumed", "effects", "no topic that a service with effects reads"),
        ("topic", "dead_letters", "dead_letters", "no topic of dead letters"),
    ],
)
def test_a_role_that_nothing_is_in_is_lacking(target, pattern, gone, said) -> None:
    with pytest.raises(SystemLacks, match=said):
        resolve(target, pattern, system_of(**{gone: {} if gone == "effects" else None}))


@pytest.mark.parametrize(
    ("target", "pattern"),
    [
        ("link", "consumers->redys"),
        ("link", "consumer1->redis"),
        ("link", "prices->kafka"),
        ("replica", "consumers#x"),
        ("replica", "consumers#"),
        ("service", "consumers#1"),
        ("topic", "consumer"),
        ("redis", "consumers"),
        ("cut", "topics"),
    ],
)
def test_what_is_no_role_is_a_mistake_on_any_system(target, pattern) -> None:
    with pytest.raises(PlanRefused) as refused:
        resolve(target, pattern, system_of())
    assert not isinstance(refused.value, SystemLacks)


def test_a_topic_that_no_consumer_reads_is_not_consumed() -> None:
    services = system_of().model_dump(exclude_none=True)["services"]
    services["billing"]["reads"] = services["shipping"]["reads"] = ["orders"]
    assert resolve("topic", "consumed", system_of(services=services)) == ["orders"]
    assert resolve("topic", "events", system_of(services=services)) == ["orders", "refusals"]
    del services["billing"]["reads"]
    assert resolve("topic", "consumed", system_of(services=services)) == ["orders", "refusals"], (
        "billing does not say"
    )


def test_a_name_wins_over_a_role() -> None:
    services = {**system_of().model_dump(exclude_none=True)["services"], "consumers": {"command": "x"}}
    dependencies = {
        "kafka": {"topics": {"orders": 4, "refusals": 1, "letters": 1, "events": 1}},
        "cache": {"kind": "redis"},
        "redis": {},
    }
    named = system_of(services=services, dependencies=dependencies)
    assert resolve("replica", "consumers", named) == ["consumers#1"]
    assert resolve("redis", "redis", named) == ["redis"]
    assert resolve("topic", "events", named) == ["events"]
    assert not is_role("consumers#1", ("consumers",), named)


def test_a_replica_is_cut_off_what_is_in_a_role() -> None:
    cut_off("billing#1", ["redis", "kafka"], system_of())
    with pytest.raises(SystemLacks, match="shipping#1 has no link to redis"):
        cut_off("shipping#1", ["redis"], system_of())
    with pytest.raises(PlanRefused, match="no link from shipping#1 to 'cache'"):
        cut_off("shipping#1", ["cache"], system_of())
