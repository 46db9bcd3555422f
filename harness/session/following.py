"""Faults that follow another fault: they act only at messages of the event at which the first one acted."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from harness.errors import OneffectError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from harness.faults.base import PlannedFault
    from harness.observers.known import Known
    from harness.stack import Held, TopicPartition
    from harness.taps.event import Event
    from harness.taps.message import Place
    from harness.taps.trigger import Trigger


class Following:
    """Passes the event at which a row's fault acted to the faults that follow that row.

    ``look`` reads the topics once: a service may handle an event before its record was observed. ``committed`` asks the
    broker for the offsets of a service's group. ``longest``: seconds to wait for a message of the event once the
    row's faults are over.
    """

    def __init__(
        self,
        faults: Sequence[PlannedFault],
        known: Known,
        look: Callable[[], Awaitable[object]],
        committed: Callable[[str], Awaitable[Mapping[TopicPartition, int]]],
        longest: float,
    ) -> None:
        self._known, self._look, self._committed, self._longest = known, look, committed, longest
        self._followed = {one.when.follows for one in faults if one.when is not None}
        self._ids: defaultdict[int | None, set[str]] = defaultdict(set)
        for one in faults:
            self._ids[one.row].add(one.id)
        self._events: dict[int, Event] = {}
        self._led: dict[int, str] = {}
        """Row -> id of the fault that acted at its event."""
        self._waiting: defaultdict[int, list[Trigger]] = defaultdict(list)
        self._since: dict[int, float] = {}

    def wait(self, row: int | None, trigger: Trigger) -> None:
        """Give a trigger the event of a row, once there is one."""
        if row is not None:
            self._waiting[row].append(trigger)
            trigger.event = self._events.get(row)

    async def leads(self, planned: PlannedFault, held: Held) -> bool:
        """Note the event at which a fault is about to act; False if another row needs it but it is unknown or given up.

        Following faults are armed when this returns, before the fault acts: the event may be delivered again at once.
        """
        row = planned.row
        if row is None or row not in self._followed or row in self._events:
            return True
        commits = await self._newly_passed(held)
        event = self._known.event(held.key, commits)
        if event is None:
            await self._look()
            event = self._known.event(held.key, commits)
        if event is None or not held.waiting:
            return False
        self._events[row], self._led[row] = event, planned.id
        for trigger in self._waiting[row]:
            trigger.event = event
        return True

    async def _newly_passed(self, held: Held) -> Sequence[Place]:
        """Return the offsets that a message commits, without those that were committed before: their events are over.

        A client repeats a commit whose answer it gave up on. A reply keeps all: by then they are committed. So does a commit
        of another group than the service's own.
        """
        service = held.link.partition("#")[0]
        if not held.commits or held.side == "reply" or held.key != service:
            return held.commits
        try:
            before = await self._committed(service)
        except OneffectError:
            return held.commits  # the broker does not answer now
        return [place for place in held.commits if place[2] > before.get(place[:2], 0)]

    def forget(self, planned: PlannedFault) -> None:
        """Undo ``leads``: the fault did not act after all, because the service had given up on its message."""
        row = planned.row
        if row is not None and self._led.get(row) == planned.id:
            del self._events[row], self._led[row]
            for trigger in self._waiting[row]:
                trigger.event = None

    def vain(self, row: int | None, to_come: Collection[str]) -> str:
        """Return why no message will come for a row's followers; empty while one may. ``to_come``: faults not over."""
        if row is None or not self._ids[row].isdisjoint(to_come):
            return ""
        if row not in self._events:
            return f"row {row} has met no event to follow"
        now = asyncio.get_running_loop().time()
        if now - self._since.setdefault(row, now) < self._longest:
            return ""
        return f"its event had none within {self._longest:g} s of the end of row {row}'s fault"
