"""Systems with several stores, which are told apart, and with several brokers, which are refused."""

from copy import deepcopy
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from harness.errors import FaultError
from harness.faults.base import FaultContext
from harness.system import System

SYSTEM: dict[str, Any] = {
    "oneffect": 1,
    "name": "several",
    "dependencies": {"kafka": {"topics": {"orders": 2}}, "cache": {"kind": "redis"}, "redis": {}},
    "services": {"shop": {"command": "shop", "env": {"KAFKA": "{kafka}"}}},
    "load": {"upload": {"to": "shop", "post": "/"}},
    "events": {"id": "/id", "type": "/type", "topics": ["orders"]},
}


def test_a_second_broker_is_refused() -> None:
    two = deepcopy(SYSTEM)
    two["dependencies"]["audit"] = {"kind": "kafka", "topics": {"audits": 1}}
    with pytest.raises(ValidationError, match=r"dependencies: kafka and audit are of kind kafka.* keep one of them"):
        System.model_validate(two)


def test_stores_are_known_by_name() -> None:
    system = System.model_validate(SYSTEM)
    assert system.of_kind("redis") == ["cache", "redis"]
    nobody: Any = None
    redis: Any = {"cache": "a", "redis": "b"}
    context = FaultContext(nobody, nobody, nobody, nobody, Random(1), redis)
    found: object = (context.redis_of("cache"), context.redis_of("redis"))
    assert found == ("a", "b")
    with pytest.raises(FaultError, match="no client of other; it has cache, redis"):
        context.redis_of("other")
