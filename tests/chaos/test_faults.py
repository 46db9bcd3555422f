"""Every fault on a real stack: it bites and heals; without its deed, or without load, it is not said to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest

from harness.commands.schema import fault_parameters
from harness.faults import TABLE, fault_type
from harness.faults.apply import apply
from harness.faults.base import FaultContext, PlannedFault
from tests.chaos.notes import Notes

on_the_rig = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True)
class Case:
    fault: str
    on: str
    lasts: float | None = 1.5
    parameters: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.fault, self.on, *map(str, self.parameters.values())])


CASES = [
    Case("net.latency", "worker#1->redis", 0.8, {"latency": "100ms", "jitter": "20ms"}),
    Case("net.latency", "worker#2->kafka", 0.8, {"latency": "100ms"}),
    Case("net.bandwidth", "worker#1->peer", 0.8, {"rate": "2KiB/s"}),
    Case("net.hang", "worker#1->redis", parameters={"direction": "upstream"}),
    Case("net.hang", "worker#1->redis", parameters={"direction": "downstream"}),
    Case("net.hang", "worker#2->kafka", 3.0, {"direction": "both"}),
    Case("net.reset", "worker#1->redis", 0.8),
    Case("net.reset", "worker#1->kafka", 0.8),
    Case("net.down", "worker#2->peer", 0.8),
    Case("net.partition", "worker#1", parameters={"from": ["redis", "peer"]}),
    Case("net.partition", "redis"),
    Case("redis.lose", "redis", 0.3),
    Case("redis.restart", "redis", 0.3),
    Case("service.kill", "worker#1", 0.3),
    Case("service.kill", "peer#1", 0.3),
    Case("service.pause", "worker#2"),
    Case("service.scale", "worker", 3.0, {"to": 1}),
    Case("kafka.redeliver", "worker", None, {"count": 5}),
    Case("kafka.duplicate", "work", None, {"count": 5, "to": "other"}),
    Case("kafka.duplicate", "work", None, {"count": 5, "to": "same"}),
    Case("kafka.malformed", "work", None, {"count": 6}),
]

ON = {
    "link": "worker#1->redis",
    "replica": "worker#1",
    "service": "worker",
    "topic": "work",
    "redis": "redis",
    "cut": "redis",
}
"""The target for a fault without a case of its own, by kind of target."""


def case_of(name: str) -> Case:
    """The default case of a fault; required parameters come from the examples in its schema."""
    kind, schema = fault_type(name), fault_parameters(name)
    given = {parameter: _example(name, parameter, schema) for parameter in schema.get("required", ())}
    return Case(name, ON[kind.target], 1.5 if kind.heals else None, given)


def _example(name: str, parameter: str, schema: dict[str, Any]) -> object:
    said = schema["properties"][parameter]
    for values in (said.get("examples"), said.get("enum"), [said.get("minimum")]):
        if values and values[0] is not None:
            return values[0]
    raise LookupError(f"{name}: no example of {parameter} in its schema; add a row for the fault to CASES")


OTHERS = set(TABLE) - {case.fault for case in CASES}
# Faults on a message are tried in test_taps.py, where there is one.
CASES += [case_of(name) for name in TABLE if name in OTHERS and not fault_type(name).at_message]
ALL = pytest.mark.parametrize("case", CASES, ids=str)


def planned(rig: Any, case: Case, number: int = 1) -> PlannedFault:
    fault = fault_type(case.fault).model_validate(case.parameters)
    return PlannedFault(f"f{number}", fault, case.on, "10%", case.lasts, 1, rig.system)


def context(rig: Any, case: Case, notes: Notes, deadline: float, number: int = 1, **more: Any) -> FaultContext:
    stack, broker = more.pop("stack", rig.stack), more.pop("broker", rig.kafka)
    fault = planned(rig, case, number)
    return FaultContext(fault, notes, stack, broker, Random(1), {"redis": rig.redis}, deadline=deadline, **more)


async def applied(rig: Any, case: Case, deadline: float, **more: Any) -> Notes:
    notes = Notes()
    await apply(context(rig, case, notes, deadline, **more))
    return notes


@ALL
@on_the_rig
async def test_it_bites_and_heals(rig, case) -> None:
    await rig.busy()
    notes = await applied(rig, case, deadline=30, patience=25.0)
    healed = ["healed"] if fault_type(case.fault).heals else []
    assert sorted(notes.phases()) == sorted(["injected", "armed", "bit", *healed]), notes.records
    assert notes.phases()[:2] == ["injected", "armed"]
    await rig.working()


@ALL
@on_the_rig
async def test_without_load_it_is_armed_and_never_bites(rig, case) -> None:
    await rig.busy()
    await rig.idle()
    # Long enough for a slow machine to see that it is in place; nothing bites however long it lasts.
    longer = replace(case, lasts=5.0) if fault_type(case.fault).heals else case
    notes = await applied(rig, longer, deadline=1)
    assert "armed" in notes.phases(), notes.records
    assert "bit" not in notes.phases(), notes.records


@ALL
@on_the_rig
async def test_with_its_deed_left_out_there_is_no_evidence(rig, case) -> None:
    await rig.busy()
    notes = await applied(rig, case, deadline=1, stack=Harmless(rig.stack), broker=HarmlessBroker(rig.kafka))
    assert set(notes.phases()) <= {"injected", "healed"}, notes.records


@on_the_rig
async def test_a_link_goes_down_once_there_is_a_connection_to_end(rig) -> None:
    await rig.busy()
    await rig.idle()
    notes = Notes()
    case = Case("net.down", "worker#1->redis", 0.8)
    down = asyncio.create_task(apply(context(rig, case, notes, deadline=1, patience=25.0)))

    async def injected() -> bool:
        return "injected" in notes.phases()

    await rig.until(injected)
    await rig.busy()
    await down
    assert notes.phases() == ["injected", "armed", "bit", "healed"], notes.records


@pytest.mark.parametrize("name", ["redis.lose", "redis.restart"])
@on_the_rig
async def test_a_store_goes_after_its_links_are_healed(rig, name: str) -> None:
    """Over a link that is down nobody loses a connection to it, nor gets a new one."""
    await rig.busy()
    notes = Notes()
    down, gone = Case("net.down", "worker#1->redis", 1.0), Case(name, "redis", 0.5)
    async with asyncio.TaskGroup() as both:
        both.create_task(apply(context(rig, down, notes, deadline=30, patience=25.0)))

        async def armed() -> bool:
            return "armed" in notes.phases()

        await rig.until(armed)
        both.create_task(apply(context(rig, gone, notes, deadline=30, number=2, patience=25.0)))
    told = [(record["fault"], record["phase"]) for record in notes.records if record["op"] == "fault"]
    assert told.index(("f1", "healed")) < told.index(("f2", "injected"))
    assert ("f2", "bit") in told
    await rig.working()


@on_the_rig
async def test_fewer_replicas_go_on_though_the_group_still_has_a_dead_member(rig) -> None:
    await rig.busy()
    one = rig.stack.services["worker#1"]
    await one.kill()
    await one.start()
    await one.ready(30)
    notes = await applied(rig, Case("service.scale", "worker", 3.0, {"to": 1}), deadline=30, patience=25.0)
    assert sorted(notes.phases()) == ["armed", "bit", "healed", "injected"], notes.records
    await rig.working()


class Without:
    """Something with a few of its methods doing nothing."""

    def __init__(self, real: Any, **instead: Any) -> None:
        self._real = real
        self.__dict__.update(instead)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


async def nothing(*_: object) -> int:
    return 0


@asynccontextmanager
async def no_scope(*_: object, **__: object) -> Any:
    yield


def no_change(handle: Any) -> Any:
    return Without(handle, kill=nothing, stop=nothing, pause=nothing, resume=nothing, start=nothing, forget=nothing)


class Harmless(Without):
    """The stack, with every deed left out."""

    def __init__(self, real: Any) -> None:
        super().__init__(
            real,
            links={name: Without(link, disturb=no_scope, refuse=no_scope) for name, link in real.links.items()},
            services={name: no_change(handle) for name, handle in real.services.items()},
            dependencies={name: no_change(handle) for name, handle in real.dependencies.items()},
        )


class HarmlessBroker(Without):
    """The broker's client, which publishes nothing and sets no offset."""

    def __init__(self, real: Any) -> None:
        async def unpublished(record: Any, **_: object) -> Any:
            return record

        super().__init__(real, publish=unpublished, set_offsets=nothing)
