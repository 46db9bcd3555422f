"""Code that a test starts itself: what its connections tell, and what can be done to it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.addresses import Addresses, Names
from harness.errors import StackError
from harness.session.rest import Rest
from harness.stack import Adopting, Forgetful, Killable, Link, Pausable, Rerouting, Stoppable, Tapping, Traffic
from harness.stacks.adopted.code import Code
from harness.stacks.adopted.stack import AdoptedStack
from harness.steps.adopt import Adoption
from tests.standin import StandIn

ONE = {4000: (10, 10)}


class Wire(StandIn):
    """A link on which the code is seen as it is told, the last of it for ever."""

    def __init__(self, dependency: str, *looks: Traffic) -> None:
        self.name, self.dependency, self.address = f"code#1->{dependency}", dependency, f"127.0.0.1:{len(dependency)}"
        self._looks = list(looks)

    async def traffic(self) -> Traffic:
        return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]


def stack(*links: Wire) -> AdoptedStack:
    adoption = Adoption(
        parts={"kafka": "127.0.0.1:9092", "redis": "127.0.0.1:6379"},
        group="billing",
        effects=list,
        effect_fields={"applies": ["placed"]},
        described={
            "events": {"id": "/id", "type": "/type", "topics": ["orders"]},
            "publish": {"topic": "orders", "value": {"id": "{id}", "type": "placed"}},
            "dead_letters": None,
        },
    )
    made = AdoptedStack(adoption.system({"orders": 1}), adoption.addresses(), Path("nowhere"))
    made.links = {link.name: link for link in links}
    made._addresses = dict(adoption.addresses().dependencies)
    made._brokers = {1: "localhost:9093"}
    return made


async def test_it_is_there_while_it_is_connected_to_the_broker() -> None:
    gone, back = Traffic({}, accepted=1), Traffic(ONE, accepted=2)
    code = Code(Wire("kafka", gone, gone, back))
    await code.ready(30)
    assert await code.state() == "ready"
    assert await Code(Wire("kafka", gone)).state() == "absent"
    with pytest.raises(StackError, match=r"no connection on code#1->kafka: it has ended, or hangs"):
        await Code(Wire("kafka", gone)).ready(0.1)


async def test_one_that_never_came_is_not_waited_for() -> None:
    with pytest.raises(StackError, match="no connection on code#1->kafka"):
        await Code(Wire("kafka", Traffic({}, accepted=0))).ready(1e6)


async def test_a_link_is_unused_if_nothing_was_ever_accepted_there() -> None:
    never, ended, now = Traffic({}, accepted=0), Traffic({}, accepted=1), Traffic(ONE, accepted=0)
    assert await stack(Wire("kafka", ended), Wire("redis", never)).unused() == ["code#1->redis"]
    assert await stack(Wire("kafka", now), Wire("redis", ended)).unused() == []


def test_only_the_broker_needs_a_tap_which_leads_clients_back_to_the_link() -> None:
    made = stack(Wire("kafka", Traffic({})), Wire("redis", Traffic({})))
    assert isinstance(made, Rerouting)
    assert list(made.rerouted) == ["code#1->kafka"]
    made._address = lambda: "127.0.0.1:1"
    assert made.detour("code#1->kafka").routes == {"localhost:9093": "127.0.0.1:5"}
    assert made.detour("code#1->kafka").upstream == "127.0.0.1:9092"
    assert made.detour("code#1->redis").routes is None


def test_only_its_links_can_be_broken() -> None:
    made = stack()
    assert not any(made.lacks(need, "code#1->redis") for need in (Link, Tapping))
    for need in (Killable, Stoppable, Pausable, Forgetful):
        assert "only links can be broken" in str(made.lacks(need, "code#1"))


def test_its_names_are_the_tests_own_and_it_begins_within_the_run() -> None:
    names = stack().names("r1")
    assert (names.group("code"), names.topic("orders"), names.shared, names.begins_later) == (
        "billing",
        "orders",
        True,
        True,
    )
    assert not Addresses(oneffect=1, dependencies={}, services={}, links={}, names=Names()).services


class Health(StandIn):
    """Notes whose health was asked for."""

    def __init__(self) -> None:
        self.of: list[tuple[str, object]] = []

    def now(self) -> int:
        return 0

    def record(self, op: str, phase: str, actor: str, **fields: Any) -> int:
        self.of.append((phase, fields["name"]))
        return 0


async def test_it_need_not_be_there_at_the_start_but_at_the_end() -> None:
    made, notes = stack(Wire("kafka", Traffic({}, accepted=0))), Health()
    assert isinstance(made, Adopting)
    code: Any = Code(Wire("kafka", Traffic({}, accepted=0)))
    made.services[code.name] = code
    live: Any = SimpleNamespace(stack=made)
    rest = Rest(live, notes, StandIn(), StandIn())
    await rest.health("start")
    assert notes.of == []
    await rest.health("end")
    assert notes.of == [("bad", "code#1")]


async def test_a_link_that_will_be_used_is_waited_for_and_one_that_never_is_not_for_ever() -> None:
    never, now = Traffic({}, accepted=0), Traffic(ONE, accepted=1)
    redis = Wire("redis", never)
    made = stack(Wire("kafka", never), redis)
    waiting = asyncio.create_task(made.used(["code#1->redis"], 60))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    redis._looks.append(now)
    await asyncio.wait_for(waiting, 20)
    await asyncio.wait_for(made.used(["code#1->kafka"], 0.1), 20)
