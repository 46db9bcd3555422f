"""What a fault is, and all that it may touch."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager as Scope
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.errors import FaultError
from harness.history.recorder import Recorder
from harness.stack import MARK, Broker, Fields, Record, Redis, Stack
from harness.system import Model, System

if TYPE_CHECKING:
    from harness.stack import Link

Target = Literal["link", "replica", "service", "topic", "redis", "cut"]
"""What ``on:`` names; ``cut`` is a replica (then ``from:`` names what it is cut off), or a dependency."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What proves it. Armed: the harness's own look saw it; bit: the system's own traffic met it."""

    level: Literal["armed", "bit"]
    what: str
    before: Fields
    after: Fields

    def document(self) -> Fields:
        """As the history carries it."""
        return {"what": self.what, "before": dict(self.before), "after": dict(self.after)}


Look = Callable[[], Awaitable[Evidence | None]]
"""One look for a piece of evidence; asked again and again until it finds some."""


async def nothing() -> Evidence | None:
    """The look that finds nothing."""
    return None


async def no_reason() -> str:
    """Nothing speaks against it."""
    return ""


async def no_fields() -> Fields:
    """The aftermath that has nothing to say."""
    return {}


@dataclass(frozen=True, slots=True)
class Injected:
    """How an injected fault is looked for.

    ``armed`` and ``bit`` are asked while it lasts (``bit`` of a fault that does not heal until the deadline), and
    ``after`` once after the heal, if it had not bitten before. ``aftermath`` tells the heal's record what came of it.
    """

    armed: Look
    bit: Look
    after: Look = nothing
    vain: Callable[[], Awaitable[str]] = no_reason
    """Why it will not bite, however long it stays; empty if nothing says so."""
    aftermath: Callable[[], Awaitable[Fields]] = no_fields


@dataclass(frozen=True, slots=True)
class FaultContext:
    """All that one planned fault may touch, and where what it does is recorded."""

    planned: PlannedFault
    recorder: Recorder
    stack: Stack
    broker: Broker
    random: Random
    redis: Mapping[str, Redis] = field(default_factory=dict)
    """Clients of the stores, by dependency."""
    spoil: Callable[[bytes | None, str], None] = lambda _value, _reason: None
    """Is told of bytes that are no event, and why, before they are published."""
    begun: Callable[[], int] | None = None
    """Operations of the load begun so far; None where nobody counts them."""
    under_way: Callable[[], int] | None = None
    """Operations of the load that wait for their answer; None where nobody counts them."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    patience: float = 0.0
    """Seconds that a fault which has not bitten yet stays in place after its ``for:``."""
    deadline: float = 20.0
    """Seconds that a fault which does not heal is given to bite."""

    @property
    def system(self) -> System:
        """What the fault was planned for."""
        return self.planned.system

    @property
    def topics(self) -> Mapping[str, int]:
        """Topics and their numbers of partitions."""
        return self.system.topics()

    @property
    def actor(self) -> str:
        """Who the history says it was: ``fault:f1``."""
        return f"fault:{self.planned.id}"

    def record(self, phase: str, **fields: object) -> None:
        """Record what became of the fault."""
        fault = self.planned.fault
        about = {"fault": self.planned.id, "name": fault.name, "target": self.planned.target, "heals": fault.heals}
        self.recorder.record("fault", phase, self.actor, **about, **fields)

    def note(self, phase: str, name: str, pid: int | None, exit_status: int | None = None) -> None:
        """Record what was done to a replica or a dependency: killed, stopped, paused, resumed, started, ready."""
        self.recorder.record("service", phase, self.actor, name=name, pid=pid, exit_status=exit_status)

    async def publish(self, record: Record, *, malformed: str | None = None) -> Record:
        """Put a record on its topic, marked with the fault's name, as an operation; ``malformed``: why it is no event."""
        if malformed is not None:
            # Before it is there to be seen.
            self.spoil(record.value, malformed)
        name = self.planned.fault.name
        fields = {"topic": record.topic, "partition": record.partition, "malformed": malformed}
        with self.recorder.operation(
            "publish", self.actor, fault=self.planned.id, injected=name, **fields
        ) as operation:
            taken = await self.broker.publish(record, headers=[(MARK, name.encode())])
            operation.ok(offset=taken.offset)
        return taken

    def redis_of(self, on: str) -> Redis:
        """The client of the store ``on``; FaultError if the run has none."""
        if on not in self.redis:
            raise FaultError(f"this run has no client of {on}; it has {', '.join(sorted(self.redis)) or 'none'}")
        return self.redis[on]

    def replicas_of(self, service: str) -> list[str]:
        """A service's running replicas."""
        return sorted(name for name in self.stack.services if name.partition("#")[0] == service)

    def links(self, *names: str) -> list[Link]:
        """Links by name."""
        return [self.stack.links[name] for name in names]

    def links_to(self, dependency: str) -> list[Link]:
        """Links that end at a dependency."""
        return [link for link in self.stack.links.values() if link.dependency == dependency]

    def links_of(self, replica: str) -> list[Link]:
        """Links that begin at a replica, and those that end at it where its service has no other replica."""
        service = replica.partition("#")[0]
        alone = sum(name.partition("#")[0] == service for name in self.stack.services) == 1
        ends = {replica, service} if alone else {replica}
        return [link for link in self.stack.links.values() if link.service == replica or link.dependency in ends]


class Fault(Model):
    """One way to break something; an instance is its parsed parameters. One fault, one file."""

    name: ClassVar[str]
    """``where.what``."""
    summary: ClassVar[str]
    """One sentence for ``oneffect list faults``."""
    bites: ClassVar[str]
    """What its bite is, in one sentence; while nothing is given to those it hits, nothing is one (``Work``)."""
    target: ClassVar[Target]
    needs: ClassVar[tuple[type, ...]]
    """Capabilities that the stack must offer."""
    heals: ClassVar[bool]
    """Whether it has a window (``for:``) and an end."""

    def check(self, on: str, system: System) -> None:
        """PlanRefused if a system has the target and it cannot be broken so all the same."""

    def takes(self, on: str, context: FaultContext) -> list[str]:  # noqa: ARG002 - most take none
        """Replicas, dependencies and links that it has to itself: two faults on one of them take turns."""
        return []

    @abstractmethod
    def inject(self, on: str, context: FaultContext) -> Scope[Injected]:
        """Break ``on`` while the scope lasts; leaving heals, whatever happened inside."""


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault on one target. ``at`` is seconds after the load's start or a share of it, ``lasts`` seconds."""

    id: str
    """``"f1"``, by which the history knows it."""
    fault: Fault
    target: str
    at: float | str
    lasts: float | None
    seed: int
    system: System

    def document(self) -> dict[str, Any]:
        """As the plan's document carries it."""
        return {
            "id": self.id,
            "fault": self.fault.name,
            "target": self.target,
            "at": self.at,
            "for": self.lasts,
            "heals": self.fault.heals,
            "parameters": self.fault.model_dump(mode="json", by_alias=True),
            "seed": self.seed,
        }
