"""A fault that a block holds in place, on faults that do as they are told."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from random import Random
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from harness.errors import FaultError
from harness.faults.base import Evidence, Fault, FaultContext, Injected, PlannedFault
from harness.redaction import Redaction
from harness.steps import held
from harness.steps.held import FaultRecorder, HeldFault
from harness.system import System
from tests.standin import StandIn

PATIENCE = 20.0

SYSTEM = System.model_validate(
    {
        "oneffect": 1,
        "name": "small",
        "dependencies": {"kafka": {"topics": {"orders": 1}}, "redis": {}},
        "services": {"shop": {"command": "c", "env": {"REDIS": "{redis}"}}},
        "load": {"upload": {"to": "shop", "post": "/"}},
        "events": {"id": "/id", "type": "/type", "topics": ["orders"]},
    }
)


class Notes(list, StandIn):
    def record(self, op, phase, actor, **fields):
        self.append((phase, fields))
        return len(self)

    def phases(self):
        return [phase for phase, _ in self]


class Told(Fault):
    """Arms at once; waits for work before it is injected, and bites when it is told to."""

    name = "test.told"
    summary = "Does as it is told."
    target = "link"
    needs: ClassVar[tuple[type, ...]] = ()
    heals = True
    broken: bool = False
    waits: bool = False

    def takes(self, on, context):
        return [on]

    @asynccontextmanager
    async def inject(self, on, context):
        if self.broken:
            raise FaultError("it is broken")
        while self.waits and not context.stack.work.is_set():
            await context.sleep(0.01)
        context.stack.broken.append(on)
        try:
            yield Injected(found("armed", context.stack.arms), found("bit", context.stack.bites))
        finally:
            context.stack.broken.remove(on)


class Once(Told):
    name = "test.once"
    heals = False


def found(level, when: asyncio.Event | None = None) -> Any:
    async def look():
        return Evidence(level, f"it {level}", {}, {}) if when is None or when.is_set() else None

    return look


class Rig:
    """What the faults meet."""

    def __init__(self) -> None:
        self.notes = Notes()
        self.recorder = FaultRecorder(self.notes)
        self.stack: Any = SimpleNamespace(
            turn=lambda name: asyncio.Lock(), services={}, work=asyncio.Event(), bites=asyncio.Event(), broken=[]
        )
        self.stack.arms = asyncio.Event()
        self.stack.arms.set()

    def held(self, fault: Fault, *on: str) -> HeldFault:
        each = [PlannedFault(f"f{n}", fault, name, None, 1.0, 1, SYSTEM) for n, name in enumerate(on or ("here",), 1)]
        # Counts enough operations for any window.
        counts = iter(range(0, 1_000_000, 10))
        contexts = [
            FaultContext(
                one, self.recorder, self.stack, Broker(), Random(1), begun=lambda: next(counts), under_way=lambda: 0
            )
            for one in each
        ]
        return HeldFault(contexts, Redaction(SYSTEM))


class Broker(StandIn):
    async def committed(self, service):
        return {}

    async def assigned(self, service):
        return None

    async def ends(self, topics):
        return {}

    async def records(self, begins, ends):
        return {at: max(0, ends.get(at, 0) - begin) for at, begin in begins.items()}


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def test_the_block_begins_once_it_is_armed_and_its_end_heals(rig: Rig) -> None:
    fault = rig.held(Told(), "one", "two")
    await asyncio.wait_for(fault.enter(), PATIENCE)
    assert rig.stack.broken == ["one", "two"]
    assert rig.notes.phases().count("armed") == 2
    rig.stack.bites.set()
    await asyncio.wait_for(fault.leave(), PATIENCE)
    assert rig.stack.broken == []
    assert sorted(rig.notes.phases()[4:]) == ["bit", "bit", "healed", "healed"]


async def test_it_stays_in_place_until_it_is_let_go_and_has_bitten(rig: Rig) -> None:
    fault = rig.held(Told())
    await asyncio.wait_for(fault.enter(), PATIENCE)
    leaving = asyncio.ensure_future(fault.leave())
    await asyncio.sleep(0.2)
    assert not leaving.done()
    rig.stack.bites.set()
    await asyncio.wait_for(leaving, PATIENCE)
    assert rig.notes.phases() == ["injected", "armed", "bit", "healed"]


async def test_one_that_has_bitten_stays_in_place_until_it_is_let_go(rig: Rig) -> None:
    rig.stack.bites.set()
    fault = rig.held(Told())
    await asyncio.wait_for(fault.enter(), PATIENCE)
    async with asyncio.timeout(PATIENCE):
        while "bit" not in rig.notes.phases():
            await asyncio.sleep(0.01)
    # Whatever else ends its window has had its turn by then.
    await asyncio.sleep(0.5)
    assert rig.stack.broken == ["here"]
    await asyncio.wait_for(fault.leave(), PATIENCE)
    assert rig.notes.phases() == ["injected", "armed", "bit", "healed"]


async def test_one_that_waits_for_work_begins_its_block_which_makes_the_work(rig: Rig) -> None:
    fault = rig.held(Told(waits=True))
    await asyncio.wait_for(fault.enter(), PATIENCE)
    assert rig.notes.phases() == ["injected"]
    rig.stack.work.set()
    rig.stack.bites.set()
    await asyncio.wait_for(fault.leave(), PATIENCE)
    assert rig.notes.phases() == ["injected", "armed", "bit", "healed"]


async def test_one_that_never_bites_heals_when_its_patience_is_over(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "PATIENCE", 0.2)
    fault = rig.held(Told())
    await asyncio.wait_for(fault.enter(), PATIENCE)
    await asyncio.wait_for(fault.leave(), PATIENCE)
    assert rig.notes.phases() == ["injected", "armed", "healed"]


async def test_one_that_does_not_heal_is_looked_at_until_it_bites(rig: Rig) -> None:
    fault = rig.held(Once())
    await asyncio.wait_for(fault.enter(), PATIENCE)
    leaving = asyncio.ensure_future(fault.leave())
    rig.stack.bites.set()
    await asyncio.wait_for(leaving, PATIENCE)
    assert rig.notes.phases() == ["injected", "armed", "bit"]


async def test_an_error_heals_it_at_once(rig: Rig) -> None:
    fault = rig.held(Told())
    await asyncio.wait_for(fault.enter(), PATIENCE)
    await asyncio.wait_for(fault.heal(), PATIENCE)
    assert rig.stack.broken == []
    assert rig.notes[-1][0] == "healed"
    assert rig.notes[-1][1]["evidence"] == {"early": True}


async def test_one_that_cannot_be_injected_raises_and_heals_its_other_targets(rig: Rig) -> None:
    with pytest.raises(FaultError, match="it is broken"):
        await asyncio.wait_for(rig.held(Told(broken=True), "one", "two").enter(), PATIENCE)
    assert rig.stack.broken == []
    assert set(rig.notes.phases()) >= {"injected", "failed"}


async def test_a_block_that_is_given_up_before_it_begins_heals(rig: Rig) -> None:
    rig.stack.arms.clear()
    entering = asyncio.ensure_future(rig.held(Told()).enter())
    async with asyncio.timeout(PATIENCE):
        while not rig.stack.broken:
            await asyncio.sleep(0.01)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert rig.stack.broken == []


async def test_what_heals_once_all_was_read_is_not_in_the_history(rig: Rig) -> None:
    fault = rig.held(Told())
    await asyncio.wait_for(fault.enter(), PATIENCE)
    rig.recorder.complete = True
    await asyncio.wait_for(fault.heal(), PATIENCE)
    assert rig.stack.broken == []
    assert "healed" not in rig.notes.phases()
