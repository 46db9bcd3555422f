"""The wrapper, on faults that do as they are told."""

import asyncio
from contextlib import asynccontextmanager
from random import Random
from types import SimpleNamespace
from typing import ClassVar

import pytest

from harness.clients import commands
from harness.errors import FaultError
from harness.faults import apply as wrapper
from harness.faults import process
from harness.faults.apply import apply
from harness.faults.base import Evidence, Fault, FaultContext, Injected, PlannedFault, nothing
from harness.stacks.external import handle
from tests.standin import StandIn


class Notes(list, StandIn):
    def record(self, op, phase, actor, **fields):
        self.append((phase, fields))
        return len(self)

    def phases(self):
        return [phase for phase, _ in self]


def found(level):
    async def look():
        return Evidence(level, f"it {level}", {"before": 1}, {"after": 2})

    return look


class Obedient(Fault):
    name = "test.obedient"
    summary = "Does as it is told."
    target = "link"
    needs: ClassVar[tuple[type, ...]] = ()
    heals = True
    healed: ClassVar[list[str]] = []
    armed: ClassVar = staticmethod(found("armed"))
    bit: ClassVar = staticmethod(found("bit"))
    after: ClassVar = staticmethod(nothing)

    @asynccontextmanager
    async def inject(self, on, context):
        try:
            yield Injected(self.armed, self.bit, after=self.after)
        finally:
            await asyncio.sleep(0)
            self.healed.append(on)


@pytest.fixture
def fault():
    return type("Told", (Obedient,), {"healed": [], "__annotations__": {"healed": ClassVar[list]}})


def planned(fault, system, lasts=0.15):
    return PlannedFault("f1", fault(), "here", "10%", lasts, 1, system)


def stack():
    locks = {}
    return SimpleNamespace(turn=lambda name: locks.setdefault(name, asyncio.Lock()), services={}, dependencies={})


def context(planned, notes, *, broker=None, on=None, **more):
    return FaultContext(planned, notes, on or stack(), broker or Group(), Random(1), **more)


async def test_a_fault_that_bites_is_recorded_from_injection_to_heal(fault, system) -> None:
    notes = Notes()
    await apply(context(planned(fault, system), notes))
    assert notes.phases() == ["injected", "armed", "bit", "healed"]
    _, fields = notes[2]
    assert (fields["fault"], fields["name"], fields["target"], fields["heals"]) == ("f1", fault.name, "here", True)
    assert fields["evidence"] == {"what": "it bit", "before": {"before": 1}, "after": {"after": 2}}


async def test_a_fault_begins_when_it_is_injected_however_long_the_broker_takes_to_answer_before(
    fault, system
) -> None:
    order: list[str] = []

    class Slow(Group):
        async def committed(self, service):
            order.append("asked")
            return await super().committed(service)

    notes = Notes()
    made = context(on_a_consumer(fault, system), notes, broker=Slow(owed=8))
    await apply(made, begun=lambda: order.append("begun"))
    assert "asked" in order
    assert order.index("asked") < order.index("begun")


async def test_evidence_is_recorded_once_a_level(fault, system) -> None:
    notes = Notes()
    await apply(context(planned(fault, system, lasts=0.4), notes))
    assert notes.phases().count("bit") == 1


@pytest.mark.parametrize("heals", [True, False])
async def test_a_look_that_misses_its_cancellation_holds_up_no_heal(fault, system, heals, monkeypatch) -> None:
    """As redis-py's do under Python 3.11: the look goes on, finds nothing, and is repeated."""

    async def deaf():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return

    monkeypatch.setattr("harness.cancelling._AGAIN", 0.01)
    fault.bit, fault.heals = staticmethod(deaf), heals
    notes = Notes()
    made = context(planned(fault, system, lasts=0.1 if heals else None), notes, deadline=0.1)
    await asyncio.wait_for(apply(made), 60)
    assert notes.phases() == (["injected", "armed", "healed"] if heals else ["injected", "armed"])


async def test_a_bite_does_not_count_before_it_is_armed(fault, system) -> None:
    fault.armed = staticmethod(nothing)
    notes = Notes()
    await apply(context(planned(fault, system), notes))
    assert notes.phases() == ["injected", "healed"]


async def test_a_bite_may_show_only_after_the_heal(fault, system) -> None:
    fault.bit, fault.after = staticmethod(nothing), staticmethod(found("bit"))
    notes = Notes()
    await apply(context(planned(fault, system), notes))
    assert notes.phases() == ["injected", "armed", "healed", "bit"]


async def test_a_look_that_fails_found_nothing_and_the_heal_says_so(fault, system) -> None:
    async def blind():
        raise ConnectionError("no sight")

    fault.bit = staticmethod(blind)
    notes = Notes()
    await apply(context(planned(fault, system), notes))
    assert notes.phases() == ["injected", "armed", "healed"]
    assert "no sight" in notes[-1][1]["evidence"]["look_failed"]


async def test_a_cancelled_run_heals(fault, system) -> None:
    notes = Notes()
    task = asyncio.create_task(apply(context(planned(fault, system, lasts=60), notes)))
    while "bit" not in notes.phases():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fault.healed == ["here"]
    assert notes.phases()[-1] == "healed"


async def test_an_injection_that_fails_is_recorded_and_said(fault, system) -> None:
    @asynccontextmanager
    async def inject(_self, _on, _context):
        raise RuntimeError("no such luck")
        yield

    fault.inject = inject
    notes = Notes()
    with pytest.raises(FaultError, match=r"test\.obedient on here .*no such luck"):
        await apply(context(planned(fault, system), notes))
    assert notes.phases() == ["injected", "failed"]


async def test_an_injection_that_never_ends_is_given_up(fault, system, monkeypatch) -> None:
    @asynccontextmanager
    async def inject(_self, on, _context):
        try:
            await asyncio.Event().wait()
            yield
        finally:
            fault.healed.append(on)

    fault.inject = inject
    monkeypatch.setattr(wrapper, "INJECTING", 0.05)
    with pytest.raises(FaultError):
        await apply(context(planned(fault, system), Notes()))
    assert fault.healed == ["here"]


def test_a_heal_has_time_for_all_that_it_waits_for() -> None:
    """Somebody's own command that starts a replica, and what it starts."""
    assert commands.LONGEST + process.READY < wrapper.HEALING
    assert commands.LONGEST + handle.SILENT_WITHIN < wrapper.INJECTING


async def test_a_heal_that_never_ends_is_given_up(fault, system, monkeypatch) -> None:
    @asynccontextmanager
    async def inject(self, _on, _context):
        yield Injected(self.armed, self.bit)
        await asyncio.Event().wait()

    fault.inject = inject
    monkeypatch.setattr(wrapper, "HEALING", 0.05)
    notes = Notes()
    with pytest.raises(FaultError):
        await apply(context(planned(fault, system), notes))
    assert notes.phases()[-1] == "failed"


async def test_one_that_does_not_heal_is_given_until_the_deadline(fault, system) -> None:
    fault.heals = False
    notes = Notes()
    await apply(context(planned(fault, system, lasts=None), notes, deadline=20))
    assert notes.phases() == ["injected", "armed", "bit"]
    fault.bit = staticmethod(nothing)
    await apply(context(planned(fault, system, lasts=None), notes := Notes(), deadline=0.1))
    assert notes.phases() == ["injected", "armed"]


async def test_a_fault_that_acts_by_the_clock_in_place_of_a_message_says_why(fault, system) -> None:
    notes = Notes()
    assert await apply(context(planned(fault, system), notes, unmet="0 messages matched"))
    assert notes[0][1]["evidence"]["by_clock"] == "0 messages matched"


async def test_two_faults_on_one_process_take_turns(fault, system) -> None:
    fault.takes = lambda _self, on, _context: [on]
    shared, notes = stack(), Notes()
    await asyncio.gather(*(apply(context(planned(fault, system), notes, on=shared)) for _ in range(2)))
    assert notes.phases() == ["injected", "armed", "bit", "healed"] * 2


class Group(StandIn):
    """A broker with one group, which has so many records before it as the test says."""

    def __init__(self, owed=0) -> None:
        self.end, self.offset = 10 + owed, 10

    async def committed(self, service):
        return {("essays", 0): self.offset}

    async def assigned(self, service):
        return {("essays", 0): "a member"}

    async def ends(self, topics):
        return {("essays", 0): self.end}

    async def records(self, begins, ends):
        return {at: max(0, ends.get(at, 0) - begin) for at, begin in begins.items()}


def on_a_consumer(fault, system, lasts=0.15):
    env = {"KAFKA": "{kafka}", "GROUP": "{group}"}
    service = system.services["essay_lifecycle"].model_copy(update={"env": env})
    grouped = system.model_copy(update={"services": {**system.services, "essay_lifecycle": service}})
    return PlannedFault("f1", fault(), "essay_lifecycle#1->kafka", "10%", lasts, 1, grouped)


async def test_what_meets_an_idle_consumer_has_not_bitten(fault, system) -> None:
    """Its client polls, and its idle connections end."""
    notes = Notes()
    await apply(context(on_a_consumer(fault, system), notes, broker=Group()))
    assert notes.phases() == ["injected", "armed", "healed"]
    assert notes[-1][1]["given"] == 0


async def test_a_window_holds_until_enough_was_given_to_the_consumer_that_is_hit(fault, system) -> None:
    notes, group = Notes(), Group(owed=1)
    task = asyncio.create_task(
        apply(context(on_a_consumer(fault, system, lasts=0.01), notes, broker=group, patience=30.0))
    )
    while "bit" not in notes.phases():
        await asyncio.sleep(0.01)
    for _ in range(4):
        assert "healed" not in notes.phases()
        group.end += 1
        group.offset += 1
        await asyncio.sleep(0.06)
    await task
    assert notes.phases() == ["injected", "armed", "bit", "healed"]
    assert notes[-1][1]["given"] == 5


async def test_patience_does_not_run_out_while_another_fault_has_stopped_the_replica(fault, system) -> None:
    looks, replica = [], SimpleNamespace(ended_on_purpose=True)

    async def bit():
        looks.append(len(looks))
        return None if replica.ended_on_purpose else await found("bit")()

    fault.bit = staticmethod(bit)
    notes, shared = Notes(), stack()
    shared.services["essay_lifecycle#1"] = replica
    world = context(on_a_consumer(fault, system, lasts=0.01), notes, broker=Group(owed=7), on=shared, patience=0.1)
    task = asyncio.create_task(apply(world))
    while len(looks) < 30 and not task.done():
        await asyncio.sleep(0.01)
    assert notes.phases() == ["injected", "armed"]
    replica.ended_on_purpose = False
    await task
    assert notes.phases() == ["injected", "armed", "bit", "healed"]


async def test_a_window_stays_open_for_those_that_the_schedule_puts_into_it(fault, system) -> None:
    notes, other, armed = Notes(), asyncio.Event(), []
    about = {"on_armed": lambda: armed.append(1), "overlapped": other.wait, "patience": 60.0}
    task = asyncio.create_task(apply(context(planned(fault, system, lasts=0.01), notes, **about)))
    while "bit" not in notes.phases():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    assert notes.phases() == ["injected", "armed", "bit"]
    assert armed == [1]
    other.set()
    await asyncio.wait_for(task, 20)
    assert notes.phases() == ["injected", "armed", "bit", "healed"]


async def test_patience_ends_a_window_whose_other_never_comes(fault, system) -> None:
    notes, never = Notes(), asyncio.Event()
    await asyncio.wait_for(
        apply(context(planned(fault, system, lasts=0.01), notes, overlapped=never.wait, patience=0.1)), 20
    )
    assert notes.phases() == ["injected", "armed", "bit", "healed"]


async def test_patience_is_time_where_each_look_takes_long(fault, system) -> None:
    steps = []

    async def sleep(seconds: float) -> None:
        steps.extend([seconds] if seconds <= wrapper.EVERY else [])
        await asyncio.sleep(4 * seconds)

    planned = on_a_consumer(fault, system, lasts=0.0)
    await apply(context(planned, Notes(), broker=Group(owed=1), patience=0.6, sleep=sleep))
    assert len(steps) < 12


async def test_what_cannot_bite_does_not_stay_until_patience_ends(fault, system) -> None:
    async def vain() -> str:
        return "the service has no connection here"

    @asynccontextmanager
    async def inject(self, on, context):
        yield Injected(found("armed"), nothing, vain=vain)

    fault.inject = inject
    notes = Notes()
    async with asyncio.timeout(20):
        await apply(context(on_a_consumer(fault, system), notes, broker=Group(owed=7), patience=3600.0))
    assert notes.phases() == ["injected", "armed", "healed"]
    assert notes[-1][1]["evidence"]["vain"].startswith("the service has no connection here (7 records")


async def test_the_load_counts_where_no_consumer_is_hit(fault, system) -> None:
    begun = iter(range(100, 10_000))
    notes = Notes()
    await apply(context(planned(fault, system), notes, begun=lambda: next(begun)))
    assert "bit" in notes.phases()
    idle = Notes()
    await apply(context(planned(fault, system), idle, begun=lambda: 7))
    assert idle.phases() == ["injected", "armed", "healed"]
    assert idle[-1][1]["begun"] == 0
