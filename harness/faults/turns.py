"""Keeps the order and the distance of a scenario's faults where one of them has to wait."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from harness.faults.plan import during, overlaps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.faults.base import FaultContext, PlannedFault


class Pace(Protocol):
    """How far a load is."""

    @property
    def duration(self) -> float:
        """Seconds that the load takes as planned."""

    def position(self, moment: float | str) -> float:
        """Return how far the load is, in the unit of a moment: seconds, or per cent."""


@dataclass(slots=True)
class _Turn:
    """When a fault began, and how far the load was then, in the unit of the fault's moment."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    position: float = 0.0
    armed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the fault is armed, or has ended without being armed."""


class Turns:
    """The turns of one run's faults; ``over`` says whether the load has ended."""

    def __init__(self, faults: Sequence[PlannedFault], load: Pace, over: Callable[[], bool]) -> None:
        self._faults, self._load, self._over = faults, load, over
        self._turns = {planned.id: _Turn() for planned in faults}

    async def wait(self, planned: PlannedFault) -> None:
        """Wait for earlier faults to begin, and then for the load to advance by the planned distance.

        If a fault is scheduled within another's window, it also waits until that one is armed: on a busy machine injecting
        a fault can take longer than the time between them. Moments in seconds and in per cent of the load are independent
        of each other.
        """
        if planned.at is None:
            return
        at = _moment(planned.at)
        for other in self._faults:
            if other.at is None or type(other.at) is not type(planned.at) or _moment(other.at) >= at:
                continue
            turn = self._turns[other.id]
            await turn.begun.wait()
            if during(planned, other, self._load.duration):
                await turn.armed.wait()
            while not self._over() and self._load.position(planned.at) < turn.position + at - _moment(other.at):
                await asyncio.sleep(0.02)

    def begins(self, planned: PlannedFault) -> None:
        """Note that a fault begins, or ended without having begun."""
        turn = self._turns[planned.id]
        if not turn.begun.is_set():
            turn.position = self._load.position(planned.at) if planned.at is not None else 0.0
            turn.begun.set()

    def armed(self, planned: PlannedFault) -> None:
        """Note that a fault is armed, or ended without having been armed."""
        self._turns[planned.id].armed.set()

    async def overlapped(self, context: FaultContext) -> None:
        """Wait until the faults scheduled within a fault's window have been armed, and have shared it as long as planned.

        On a busy machine injecting a fault can take seconds, and faults meant to coincide would follow one another. Faults
        that take turns never coincide; and a fault on a replica's link may have to wait until that replica runs.
        """

        async def shared(other: PlannedFault, seconds: float) -> None:
            await self._turns[other.id].armed.wait()
            await asyncio.sleep(seconds)

        planned = context.planned
        own = set(planned.fault.takes(planned.target, context))
        within = overlaps(planned, self._faults, self._load.duration)
        await asyncio.gather(*(shared(*each) for each in within if own.isdisjoint(_needs(each[0], context))))


def _needs(planned: PlannedFault, context: FaultContext) -> set[str]:
    """What a fault takes, and the ends of its link."""
    return {*planned.fault.takes(planned.target, context), *planned.target.split("->")}


def _moment(at: float | str) -> float:
    """Convert a moment to seconds, or to per cent of the load."""
    return at if isinstance(at, float) else float(at.rstrip("%"))
