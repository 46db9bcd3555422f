"""Faults asked for while a system is up are planned as a scenario's rows are."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.errors import PlanRefused
from harness.hold.asked import plan_asked
from harness.system import System

SYSTEM = System.model_validate(
    {
        "oneffect": 1,
        "name": "shop",
        "dependencies": {"kafka": {"topics": {"orders": 1}}, "redis": {}},
        "services": {"shop": {"command": "x", "env": {"REDIS": "{redis}"}}},
        "load": {"upload": {"to": "shop", "post": "/"}},
        "events": {"id": "/id", "type": "/type", "topics": ["orders"]},
    }
)
STACK = SimpleNamespace(name="made up", lacks=lambda *_: None)
AT_SET = {"request": "SET *"}


def asked(fault, lasts, **parameters):
    return plan_asked(fault, "shop->redis", lasts, parameters, system=SYSTEM, stack=STACK, seed=1, after=0)


def test_at_a_message_it_has_no_other_moment() -> None:
    (planned,) = asked("tap.lose_reply", None, when=AT_SET)
    assert (planned.at, planned.when.patterns) == (None, ("SET *",))


def test_without_a_message_it_acts_at_once() -> None:
    (planned,) = asked("net.down", "1s")
    assert (planned.at, planned.when) == ("0%", None)


def test_one_that_does_not_heal_may_have_a_time_of_its_own() -> None:
    (planned,) = asked("tap.hold", None, when=AT_SET, **{"for": "2s"})
    assert (planned.lasts, planned.fault.lasts) == (None, 2.0)
    with pytest.raises(PlanRefused, match="for is not a parameter"):
        asked("net.down", "1s", **{"for": "2s"})
