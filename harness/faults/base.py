"""The interface of a fault, and the context that it works in."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager as Scope
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.errors import FaultError
from harness.faults.condition import Condition
from harness.history.recorder import Recorder
from harness.model import Model
from harness.stack import MARK, Broker, Fields, Held, Link, Record, Redis, Stack, TopicPartition
from harness.system import System
from harness.taps.trigger import Trigger

if TYPE_CHECKING:
    from harness.scenario import When

Target = Literal["link", "replica", "service", "topic", "redis", "cut"]
"""The kind of thing ``on:`` names; ``cut`` is a dependency, or a replica to cut off from what ``from:`` names."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Proof of a fault. Armed: the harness itself observed it; bit: it affected the system's own traffic."""

    level: Literal["armed", "bit"]
    what: str
    before: Fields
    after: Fields

    def document(self) -> Fields:
        """The form that the history records."""
        return {"what": self.what, "before": dict(self.before), "after": dict(self.after)}


Look = Callable[[], Awaitable[Evidence | None]]
"""Looks for evidence once; polled until it returns some."""


async def nothing() -> Evidence | None:
    """Find nothing."""
    return None


async def no_reason() -> str:
    """Give no reason."""
    return ""


def no_taps(trigger: Trigger) -> AbstractContextManager[Trigger]:  # noqa: ARG001 - there is none to tell
    """Raise FaultError: no link has a tap."""
    raise FaultError("no link has a tap here, so no message can be waited for")


async def no_fields() -> Fields:
    """Return no fields."""
    return {}


@dataclass(frozen=True, slots=True)
class Injected:
    """How to look for evidence of an injected fault.

    ``armed`` and ``bit`` are polled while it lasts (``bit`` of a fault that does not heal, until the deadline);
    ``after`` runs once after the heal if the fault had not bitten. ``aftermath`` gives the heal's record its fields.
    """

    armed: Look
    bit: Look
    after: Look = nothing
    vain: Callable[[], Awaitable[str]] = no_reason
    """Why the fault will never bite, however long it stays; empty if it still may."""
    aftermath: Callable[[], Awaitable[Fields]] = no_fields


@dataclass(frozen=True, slots=True)
class FaultContext:
    """Everything that one planned fault may touch, and the recorder of what it does."""

    planned: PlannedFault
    recorder: Recorder
    stack: Stack
    broker: Broker
    random: Random
    redis: Mapping[str, Redis] = field(default_factory=dict)
    """Redis clients by dependency."""
    spoil: Callable[[bytes | None, str], None] = lambda _value, _reason: None
    """Called with malformed bytes and the reason before they are published."""
    overwritten: Callable[[Record], None] = lambda _record: None
    """Called with a record of the system's own in whose place the fault put another."""
    begun: Callable[[], int] | None = None
    """Counts the load's operations begun so far; None where nothing counts them."""
    under_way: Callable[[], int] | None = None
    """Counts the load's operations that await an answer; None where nothing counts them."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    patience: float = 0.0
    """Seconds that a fault stays in place beyond its ``for:`` if it has not bitten."""
    held: Held | None = None
    """The message at which it acts, held until the injection; None for a fault that acts by the clock."""
    unmet: str = ""
    """Why it acts by the clock although it was planned to act at a message; empty otherwise."""
    armed: Callable[[Trigger], AbstractContextManager[Trigger]] = no_taps
    """Gives every tap a trigger while the scope lasts."""
    passed: Callable[[str], Mapping[TopicPartition, int] | None] = lambda _service: None
    """Returns the offsets that a service's group had committed when they were last read; None if nobody reads them."""
    deadline: float = 20.0
    """Seconds within which a fault that does not heal must bite."""
    on_killed: Callable[[], object] = lambda: None
    """Called whenever the fault has killed a process."""
    on_armed: Callable[[], object] = lambda: None
    """Called once the fault is armed."""
    let_go: Callable[[], Awaitable[object]] | None = None
    """Replaces the fault's ``for:``: awaited after the injection; returns when the caller lets the fault go."""
    overlapped: Callable[[], Coroutine[object, object, object]] = nothing
    """Returns once the faults scheduled within this fault's window have had their time in it."""

    @property
    def system(self) -> System:
        """The system that the fault was planned for."""
        return self.planned.system

    @property
    def topics(self) -> Mapping[str, int]:
        """Number of partitions by topic."""
        return self.system.topics()

    @property
    def actor(self) -> str:
        """The actor in the history: ``fault:f1``."""
        return f"fault:{self.planned.id}"

    def record(self, phase: str, **fields: object) -> None:
        """Record a phase of the fault."""
        fault = self.planned.fault
        about = {"fault": self.planned.id, "name": fault.name, "target": self.planned.target, "heals": fault.heals}
        self.recorder.record("fault", phase, self.actor, **about, **fields)

    def note(self, phase: str, name: str, pid: int | None, exit_status: int | None = None) -> None:
        """Record a phase of a replica or dependency: killed, stopped, paused, resumed, started, ready."""
        self.recorder.record("service", phase, self.actor, name=name, pid=pid, exit_status=exit_status)
        if phase == "killed":
            self.on_killed()

    async def publish(self, record: Record, *, malformed: str | None = None) -> Record:
        """Publish a record as an operation, marked with the fault's name; ``malformed`` says why it is not an event."""
        if malformed is not None:
            # Noted first, so that no observer sees the record before.
            self.spoil(record.value, malformed)
        name = self.planned.fault.name
        fields = {"topic": record.topic, "partition": record.partition, "malformed": malformed}
        with self.recorder.operation(
            "publish", self.actor, fault=self.planned.id, injected=name, **fields
        ) as operation:
            taken = await self.broker.publish(record, headers=[(MARK, name.encode())])
            operation.ok(offset=taken.offset)
        return taken

    def appended(self, topic: str, partition: int, offset: int, *, malformed: str | None = None) -> None:
        """Record the place of a record that the fault made the broker append by other means than ``publish``."""
        name = self.planned.fault.name
        about = {"topic": topic, "partition": partition, "malformed": malformed}
        with self.recorder.operation(
            "publish", self.actor, fault=self.planned.id, injected=name, **about
        ) as operation:
            operation.ok(offset=offset)

    def redis_of(self, on: str) -> Redis:
        """The Redis client of dependency ``on``; FaultError if the run has none."""
        if on not in self.redis:
            raise FaultError(f"this run has no client of {on}; it has {', '.join(sorted(self.redis)) or 'none'}")
        return self.redis[on]

    def replicas_of(self, service: str) -> list[str]:
        """Names of a service's running replicas, sorted."""
        return sorted(name for name in self.stack.services if name.partition("#")[0] == service)

    def links(self, *names: str) -> list[Link]:
        """Links by name."""
        return [self.stack.links[name] for name in names]

    def links_to(self, dependency: str) -> list[Link]:
        """Links to a dependency."""
        return [link for link in self.stack.links.values() if link.dependency == dependency]

    def links_of(self, replica: str) -> list[Link]:
        """Links from a replica, and links to it if it is its service's only replica."""
        service = replica.partition("#")[0]
        alone = sum(name.partition("#")[0] == service for name in self.stack.services) == 1
        ends = {replica, service} if alone else {replica}
        return [link for link in self.stack.links.values() if link.service == replica or link.dependency in ends]


class Fault(Model):
    """One way to break something; an instance holds its parsed parameters."""

    name: ClassVar[str]
    """``where.what``."""
    summary: ClassVar[str]
    """One sentence for ``oneffect list faults``."""
    bites: ClassVar[str]
    """What counts as a bite, in one sentence; nothing does while the services it hits have no work (``Work``)."""
    target: ClassVar[Target]
    needs: ClassVar[tuple[type, ...]]
    """Capabilities that the stack must offer."""
    heals: ClassVar[bool]
    """Whether it lasts for a window (``for:``) and then heals."""
    waits_inside: ClassVar[int] = 0
    """How often ``inject`` may wait for as long as the context has patience."""
    at_message: ClassVar[bool] = False
    """Whether it acts on the message of its ``when``, and therefore needs one."""
    acts_at: ClassVar[Literal["request", "reply"] | None] = None
    """The side at which it acts, whichever the ``when`` names; None for the side that the ``when`` names."""

    @property
    def awaits(self) -> When | None:
        """A further message that it waits for, as the scenario writes it."""
        return None

    def check(self, on: str, system: System) -> None:
        """Raise PlanRefused if the system has the target, but this fault cannot break it."""

    def check_side(self, side: Literal["request", "reply"], on: str, system: System) -> None:
        """Raise PlanRefused if its ``when`` cannot name a ``side`` for a target."""

    def check_commands(self, spoken: str, commands: Collection[str]) -> None:
        """Raise PlanRefused if it can act on none of the protocol's commands that its ``when`` names."""

    def takes(self, on: str, context: FaultContext) -> list[str]:  # noqa: ARG002 - most need none
        """Replicas, dependencies and links that the fault needs for itself: two faults on one of them take turns."""
        return []

    @abstractmethod
    def inject(self, on: str, context: FaultContext) -> Scope[Injected]:
        """Break ``on`` while the scope lasts; leaving it heals, whatever happened inside."""


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault on one target. ``at``: seconds after the load's start or a share of the load; ``lasts``: seconds."""

    id: str
    """The fault's id in the history, for example ``"f1"``."""
    fault: Fault
    target: str
    at: float | str | None
    lasts: float | None
    seed: int
    system: System
    when: Condition | None = None
    """The message at which it acts; with ``at``, counted from then on."""
    until: Condition | None = None
    """The further message that it waits for, if any."""
    row: int | None = None
    """The number of its row, from 1; None where there are no rows."""
    among: tuple[str, ...] = ()
    """Targets of which it acts on one: the target of its message. ``target`` is then the pattern for all of them."""

    def met_on(self, link: str) -> PlannedFault:
        """Return the fault with the target that a message on ``link`` decides."""
        if not self.among:
            return self
        return replace(self, target=link if self.fault.target == "link" else link.partition("->")[0], among=())

    def document(self) -> dict[str, Any]:
        """The form that the plan's document holds."""
        return {
            "id": self.id,
            "fault": self.fault.name,
            "target": self.target,
            **({"among": list(self.among)} if self.among else {}),
            "at": self.at,
            "for": self.lasts,
            "heals": self.fault.heals,
            "parameters": self.fault.model_dump(mode="json", by_alias=True),
            "seed": self.seed,
            **({"when": self.when.document()} if self.when is not None else {}),
            **({"until": self.until.document()} if self.until is not None else {}),
        }
