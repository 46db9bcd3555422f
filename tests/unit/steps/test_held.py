"""A fault that a block holds in place, on faults that do as they are told."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from harness.errors import FaultError
from harness.faults.base import Evidence, Fault, FaultContext, Injected, PlannedFault
from harness.faults.condition import Condition
from harness.redaction import Redaction
from harness.steps import held
from harness.steps.held import FaultRecorder, HeldFault
from harness.system import System
from harness.taps.trigger import Trigger
from tests.standin import StandIn

PATIENCE = 20.0
STILL = 0.3
"""Seconds that a released fault waits for its message here."""

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
        self.triggers: list[Trigger] = []
        self.stack: Any = SimpleNamespace(
            turn=lambda name: asyncio.Lock(), services={}, work=asyncio.Event(), bites=asyncio.Event(), broken=[]
        )
        self.stack.arms = asyncio.Event()
        self.stack.arms.set()

    def held(self, fault: Fault, *on: str, when: Condition | None = None) -> HeldFault:
        each = [
            PlannedFault(f"f{n}", fault, name, None, 1.0, 1, SYSTEM, when)
            for n, name in enumerate(on or ("here",), 1)
        ]
        # Counts enough operations for any window.
        counts = iter(range(0, 1_000_000, 10))
        contexts = [
            FaultContext(
                one,
                self.recorder,
                self.stack,
                Broker(),
                Random(1),
                begun=lambda: next(counts),
                under_way=lambda: 0,
                armed=self.armed,
            )
            for one in each
        ]
        return HeldFault(contexts, Redaction(SYSTEM), still=STILL)

    @contextmanager
    def armed(self, trigger):
        self.triggers.append(trigger)
        yield trigger
        trigger.close()
        self.triggers.remove(trigger)

    def pass_on(self, *, given_up: bool = False) -> Message:
        """A message passes the taps."""
        message = Message(given_up=given_up)
        for trigger in self.triggers:
            if trigger.meets("shop#1->redis", "reply", "SET", "claim:1"):
                trigger.give(message)
        return message


class Message(StandIn):
    link, what, command, commits = "shop#1->redis", "SET claim:1", "SET", ()

    def __init__(self, *, given_up: bool) -> None:
        self.waiting = not given_up
        self.released = asyncio.Event()

    def release(self) -> None:
        self.waiting = False
        self.released.set()


AT_SET = Condition("reply", ("SET *",), ("shop#1->redis",), nth=2)


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


async def test_at_its_message_it_acts_within_the_block_and_stays_until_it_is_left(rig: Rig) -> None:
    rig.stack.bites.set()
    fault = rig.held(Told(), when=AT_SET)
    await asyncio.wait_for(fault.enter(), PATIENCE)
    first, second = rig.pass_on(), rig.pass_on()
    await asyncio.wait_for(second.released.wait(), PATIENCE)
    assert (rig.stack.broken, first.waiting) == (["here"], True)
    await asyncio.wait_for(fault.leave(), PATIENCE)
    assert rig.notes.phases() == ["injected", "armed", "bit", "healed"]
    assert rig.notes[0][1]["evidence"] == {"message": "SET claim:1 on shop#1->redis"}
    assert rig.triggers == []


async def test_a_message_that_was_given_up_is_followed_by_the_next(rig: Rig) -> None:
    rig.stack.bites.set()
    fault = rig.held(Once(), when=AT_SET)
    await asyncio.wait_for(fault.enter(), PATIENCE)
    rig.pass_on()
    await asyncio.wait_for(rig.pass_on(given_up=True).released.wait(), PATIENCE)
    assert rig.notes.phases() == []
    await asyncio.wait_for(rig.pass_on().released.wait(), PATIENCE)
    await asyncio.wait_for(fault.leave(), PATIENCE)
    assert rig.notes.phases() == ["injected", "armed", "bit"]


async def test_it_acts_at_every_message_until_the_block_is_left(rig: Rig) -> None:
    rig.stack.bites.set()
    fault = rig.held(Once(), when=replace(AT_SET, nth=1, every=1))
    await asyncio.wait_for(fault.enter(), PATIENCE)
    for _ in range(3):
        await asyncio.wait_for(rig.pass_on().released.wait(), PATIENCE)
    await asyncio.wait_for(fault.leave(), PATIENCE)
    rig.pass_on()
    assert rig.notes.phases() == ["injected", "armed", "bit"] * 3


@pytest.mark.parametrize("left", [HeldFault.leave, HeldFault.heal])
async def test_a_message_that_never_came_is_a_failure(rig: Rig, left: Any) -> None:
    fault = rig.held(Told(), when=AT_SET)
    await asyncio.wait_for(fault.enter(), PATIENCE)
    rig.pass_on()
    await asyncio.wait_for(left(fault), PATIENCE)
    assert rig.notes.phases() == ["failed"]
    said = "1 messages matched, and it acts at number 2 of reply 'SET *' on shop#1->redis"
    assert rig.notes[0][1]["error"] == said


@pytest.mark.parametrize("turns", range(6))
async def test_a_message_that_comes_as_the_block_is_broken_off_is_let_go(rig: Rig, turns: int) -> None:
    fault = rig.held(Told(), when=replace(AT_SET, nth=1))
    await asyncio.wait_for(fault.enter(), PATIENCE)
    message = rig.pass_on()
    for _ in range(turns):
        await asyncio.sleep(0)
    await asyncio.wait_for(fault.heal(), PATIENCE)
    assert message.released.is_set()


async def test_one_that_was_broken_off_before_its_turn_is_a_failure(rig: Rig) -> None:
    turn = asyncio.Lock()
    rig.stack.turn = lambda name: turn
    fault = rig.held(Told(), when=replace(AT_SET, nth=1))
    async with turn:
        await asyncio.wait_for(fault.enter(), PATIENCE)
        message = rig.pass_on()
        for _ in range(9):
            await asyncio.sleep(0)
        await asyncio.wait_for(fault.heal(), PATIENCE)
    assert (rig.notes.phases(), message.released.is_set()) == (["failed"], True)


async def test_one_that_breaks_at_its_message_fails_once(rig: Rig) -> None:
    fault = rig.held(Told(broken=True), when=replace(AT_SET, nth=1))
    await asyncio.wait_for(fault.enter(), PATIENCE)
    await asyncio.wait_for(rig.pass_on().released.wait(), PATIENCE)
    with pytest.raises(FaultError, match="it is broken"):
        await asyncio.wait_for(fault.leave(), PATIENCE)
    assert rig.notes.phases() == ["injected", "failed"]
