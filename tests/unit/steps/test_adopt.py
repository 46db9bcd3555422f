"""What a test hands over: containers or addresses, and a description that must be that of a system."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from testcontainers.community.kafka import KafkaContainer
from testcontainers.community.postgres import PostgresContainer
from testcontainers.community.redis import RedisContainer

from harness.effects import Returned
from harness.errors import UsageError
from harness.steps.adopt import Adoption, address_of
from harness.steps.plan import plan_adopting
from harness.system_events import TypeByTopic


class Kafka:
    def get_bootstrap_server(self) -> str:
        return "127.0.0.1:32768"


class Redis:
    port, password = 6380, "s3cret"

    def get_container_host_ip(self) -> str:
        return "localhost"

    def get_exposed_port(self, port: int) -> int:
        return 30000 + port


class Postgres:
    def get_connection_url(self) -> str:
        return "postgresql+psycopg2://test:te%40st@localhost:32770/test"


def given(**more: object) -> Adoption:
    parts = {"kafka": Kafka(), "redis": Redis(), "postgres": Postgres()}
    described: dict[str, object] = {
        "events": {"id": "/id", "type": "/type", "topics": ["prod.Orders", "prod.Bills"]},
        "publish": {"topic": "prod.Orders", "value": {"id": "{id}", "type": "placed"}},
        "outcomes": (),
        "dead_letters": None,
        "settle": "3s",
    }
    fields: dict[str, object] = {
        "parts": parts,
        "group": "billing-v2",
        "effects": list,
        "effect_fields": {"applies": ["placed"], "by": None},
    }
    known = {name: more.pop(name) for name in fields if name in more}
    return Adoption(**{**fields, **known, "described": {**described, **more}})  # type: ignore[arg-type]


def test_containers_say_where_they_are() -> None:
    adoption = given()
    addresses = adoption.addresses()
    assert addresses.dependencies == {
        "kafka": "127.0.0.1:32768",
        "redis": "localhost:36380",
        "postgres": "localhost:32770",
    }
    assert addresses.names.groups == {"code": "billing-v2"}
    assert addresses.names.topics == {"prod-orders": "prod.Orders", "prod-bills": "prod.Bills"}
    assert address_of("redis", "10.0.0.7:6379") == "10.0.0.7:6379"


@pytest.mark.parametrize(
    ("container", "methods"),
    [
        (KafkaContainer, ["get_bootstrap_server"]),
        (PostgresContainer, ["get_connection_url"]),
        (RedisContainer, ["get_container_host_ip", "get_exposed_port"]),
    ],
    ids=["kafka", "postgres", "redis"],
)
def test_those_of_testcontainers_are_asked_as_they_can_be(container: type, methods: list[str]) -> None:
    for method in methods:
        asked = inspect.signature(getattr(container, method))
        asked.bind("self", *([6379] if method == "get_exposed_port" else []))
    assert not hasattr(RedisContainer, "get_bootstrap_server")
    assert not hasattr(RedisContainer, "get_connection_url")
    assert not hasattr(PostgresContainer, "get_bootstrap_server")
    assert {"port", "password"} <= inspect.signature(RedisContainer).parameters.keys()


def test_the_system_has_one_service_with_a_link_to_each() -> None:
    system = given().system({"prod.Orders": 4, "prod.Bills": 1})
    assert system.links() == [("code#1", "kafka"), ("code#1", "postgres"), ("code#1", "redis")]
    assert system.topics() == {"prod-orders": 4, "prod-bills": 1}
    assert system.services["code"].reads == ["prod-orders", "prod-bills"]
    effects = system.effects["code"]
    assert isinstance(effects, Returned)
    assert effects.call is list
    assert system.consumers() == {"code": ["placed"]}


def test_a_type_is_given_for_a_topic_by_the_broker_s_name() -> None:
    types = {"topics": {"prod.Orders": "placed", "prod.Bills": "billed"}}
    adoption = given(events={"id": "/id", "type": types, "topics": ["prod.Orders", "prod.Bills"]})
    described = adoption.system({"prod.Orders": 4, "prod.Bills": 1}).events.type
    assert isinstance(described, TypeByTopic)
    assert described.topics == {"prod-orders": "placed", "prod-bills": "billed"}


def test_a_fault_on_a_dependency_is_one_on_its_link_and_a_topic_keeps_its_own_name() -> None:
    adoption = given()
    system = adoption.system({"prod.Orders": 4, "prod.Bills": 1})
    plan = plan_adopting(system, adoption.addresses(), Path("here"), seed=1, name="a test", again="again", taps=None)
    assert plan.target("net.down", "redis") == "code->redis"
    assert plan.target("redis.lose", "redis") == "redis"
    assert plan.target("kafka.duplicate", "prod.Orders") == "prod-orders"
    assert "s3cret" not in str(plan.document)
    assert plan.document["stack"] == "adopted"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"parts": {"kafka": 3}}, "adopt: kafka: int is no address and no container"),
        ({"parts": {"kafka": "here"}}, "adopt: kafka: 'here' is not an address; write host:port"),
        ({"events": 3}, "adopt: events: "),
        ({"events": {"id": "/id", "type": "/type", "topics": 3}}, "adopt: events.topics: "),
        ({"publish": {"topic": "other", "value": {"id": "{id}", "type": "x"}}}, "publish.topic: other is not in"),
        (
            {"publish": {"topic": "prod.Orders", "value": {"id": "7", "type": "x"}}},
            "adopt: publish has no id of its own",
        ),
        ({"effects": 3}, "adopt: effects: Input should be callable"),
        ({"settle": "soon"}, "adopt: settle: 'soon' is not a duration"),
        ({"events": {"id": "/id", "type": "/type", "topics": ["a.b", "a-b"]}}, "two are one"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_is_said_in_the_words_of_the_call(more: dict[str, object], said: str) -> None:
    adoption = given(**more)
    with pytest.raises(UsageError) as raised:  # noqa: PT012 - either says it
        adoption.addresses()
        adoption.system(dict.fromkeys(adoption.topics(), 1))
    assert said in str(raised.value)
