"""What the system had to do while a fault was in place: a bite says something only of a system at work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from harness.faults.base import FaultContext
from harness.stack import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from harness.stack import Link
    from harness.system import System

ENOUGH: Final = 5
"""Records or operations that a window must see; ``evidence.ENOUGH_IN_WINDOW`` asks the same."""

Step: TypeAlias = "Callable[[], Awaitable[None]]"
"""One thing done to a replica."""

_AGAIN: Final = 0.02
"""Seconds between two looks for something in hand."""

_BETTER: Final = 100
"""Looks for a request under way before records will do: one that was given may not be begun yet."""

_HELD: Final = 5.0
"""Seconds for which answers are held back on one link before another is tried."""

_HELD_MS: Final = 10_000
"""Milliseconds that an answer is held back, if nobody lets it go before."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Whom a fault meets: services that consume, and whether the front door stands among them."""

    services: frozenset[str]
    front: bool

    @classmethod
    def by(cls, target: str, context: FaultContext) -> Hit:
        """Of a link its service, of a replica its own, of anything else those that use it; of a topic nobody in particular."""
        system = context.system
        start = target.partition("->")[0].partition("#")[0]
        known = {start} & system.services.keys()
        front = system.load.upload.to
        if not known & {*_consumers(system), front}:
            known |= {source.partition("#")[0] for source, end in system.links() if end == start}
        return cls(frozenset(known & _consumers(system)), front in known)


def _consumers(system: System) -> set[str]:
    """Services that have effects, or are told the name of their group."""
    grouped = {name for name, service in system.services.items() if "group" in service.placeholders()}
    return grouped | system.effects.keys()


@dataclass(slots=True)
class Work:
    """Counts from one moment on. ``given`` and ``begun`` are None where nobody can count."""

    context: FaultContext
    hit: Hit
    committed: Mapping[str, Mapping[TopicPartition, int]] = field(default_factory=dict)
    ends: Mapping[TopicPartition, int] = field(default_factory=dict)
    begun_before: int = 0

    @classmethod
    async def since_now(cls, target: str, context: FaultContext) -> Work:
        """Measured from now on, for what a fault on ``target`` hits."""
        hit = Hit.by(target, context)
        begun = context.begun() if context.begun is not None else 0
        if not hit.services:
            return cls(context, hit, begun_before=begun)
        committed = {name: await context.broker.committed(name) for name in sorted(hit.services)}
        return cls(context, hit, committed, await context.broker.ends(context.topics), begun)

    async def given(self) -> int | None:
        """Records that the consumers hit had not passed at the beginning, or that came since.

        None where no consumer is hit of which it is seen what it reads.
        """
        if not self.hit.services:
            return None
        ends = await self.context.broker.ends(self.context.topics)
        every = [await self._reads(name) for name in self.committed]
        return max((_owed(reads, self.ends, ends) for reads in every if reads), default=None)

    async def passed(self) -> int | None:
        """Records that the consumers hit have passed since; None where nobody can count."""
        if not self.hit.services:
            return None
        now = {name: await self.context.broker.committed(name) for name in self.committed}
        return sum(
            max(0, offset - before.get(at, self.ends.get(at, 0) if not before else 0))
            for name, before in self.committed.items()
            for at, offset in now[name].items()
        )

    async def _reads(self, service: str) -> Mapping[TopicPartition, int | None]:
        """Partition -> where its group stood at the beginning; None: it had committed nothing there."""
        assigned = await self.context.broker.assigned(service) or {}
        return {at: self.committed[service].get(at) for at in {*assigned, *self.committed[service]}}

    def begun(self) -> int | None:
        """Operations of the load begun since; None if no load is counted."""
        return self.context.begun() - self.begun_before if self.context.begun is not None else None

    async def counts(self) -> tuple[int | None, int | None]:
        """Records given and operations begun; of the load nothing where the consumers that are hit tell more."""
        given = await self.given()
        return given, self.begun() if given is None or self.hit.front else None

    async def most(self) -> int | None:
        """The larger of the two; None where nobody can count."""
        return max((count for count in await self.counts() if count is not None), default=None)


def _owed(
    reads: Mapping[TopicPartition, int | None],
    before: Mapping[TopicPartition, int],
    now: Mapping[TopicPartition, int],
) -> int:
    total = 0
    for at, committed in reads.items():
        first = committed if committed is not None else before.get(at, 0)
        total += max(0, now.get(at, 0) - first)
    return total


class InHand:
    """What a replica was at when it was stopped.

    ``what`` is a request under way over one of its links, or an upload, or records given to each member of its group: ones
    that were there before it was stopped, and that the group had not passed once it stood still.
    ``gone`` finds, afterwards, such records of the member that is no more.
    """

    def __init__(self, context: FaultContext, replica: str) -> None:
        self._context = context
        self._service = replica.partition("#")[0]
        self._links = [link for link in context.links_of(replica) if not _is_broker(link, context)]
        self.what = ""
        self._owners: Mapping[TopicPartition, str] = {}
        self._ends: Mapping[TopicPartition, int] = {}
        self._owed: set[TopicPartition] = set()

    @classmethod
    async def at(cls, replica: str, context: FaultContext, stop: Step, go_on: Step | None = None) -> InHand:
        """Stop the replica, with ``stop``, once it has something in hand; at the latest after ``context.patience``.

        A request under way is waited for first: it shows that a record was begun. Where none is met, for it takes less
        time than a look, answers are held back on one link after the other until one waits for its answer.

        Records may be passed between the look at them and the stop. They are counted again behind it, and what turns out
        to have been idle is let ``go_on`` for another try, where that is possible.
        """
        hand, clock, looks, next_link = cls(context, replica), asyncio.get_running_loop(), 0, 0.0
        begun, asked = clock.time(), None
        async with AsyncExitStack() as held:
            try:
                while True:
                    waited, looks = clock.time() - begun, looks + 1
                    late, unmet = waited >= context.patience, looks > _BETTER or waited >= context.patience / 6
                    at_work, has_records = await hand._requests() or hand._uploads(), False
                    if not at_work and (unmet or not hand._links):
                        # Beside the looks for requests: a busy broker may take seconds to answer, and requests do not.
                        asked = asked or asyncio.create_task(hand._has_records())
                        if late or not hand._links:
                            await asyncio.wait([asked])
                        if asked.done():
                            has_records, asked = asked.result(), None
                    if at_work or has_records or late:
                        await hand._stop(at_work, stop, go_on)
                        if hand.what or late or go_on is None:
                            return hand
                        await go_on()
                    if unmet and hand._links and waited >= next_link:
                        await held.aclose()
                        link = hand._links[looks % len(hand._links)]
                        await held.enter_async_context(link.disturb("latency", latency=_HELD_MS))
                        next_link = waited + _HELD
                    await context.sleep(_AGAIN)
            finally:
                if asked is not None:
                    asked.cancel()

    async def _stop(self, at_work: str, stop: Step, go_on: Step | None) -> None:
        """Stop it and see what it had; if that cannot be seen, let it go on and raise."""
        await stop()
        try:
            self.what = at_work or await self._kept_records()
        except BaseException:
            if go_on is not None:
                await go_on()
            raise

    async def _requests(self) -> str:
        for link in self._links:
            if (await link.traffic()).unanswered:
                return f"a request on {link.name} was under way"
        return ""

    def _uploads(self) -> str:
        if self._context.under_way is None or self._service != self._context.system.load.upload.to:
            return ""
        count = self._context.under_way()
        return f"{count} uploads were under way" if count else ""

    async def _has_records(self) -> bool:
        """Whether the group has records to pass at each of its members; asked before the stop."""
        broker = self._context.broker
        if self._service not in _consumers(self._context.system):
            return False
        self._owners = await broker.assigned(self._service) or {}
        self._ends = await broker.ends(self._context.topics)
        return await self._look() != ""

    async def _kept_records(self) -> str:
        """The same behind the stop, of the records that were there before it."""
        return await self._look() if self._owners else ""

    async def _look(self) -> str:
        committed = await self._context.broker.committed(self._service)
        self._owed = {at for at in self._owners if at in committed and committed[at] < self._ends.get(at, 0)}
        members, at_work = set(self._owners.values()), {self._owners[at] for at in self._owed}
        # Nobody says which member is which replica: where each has records, this one has.
        if not members or members != at_work or len(members) < len(self._context.replicas_of(self._service)):
            return ""
        return f"each of the {len(members)} members of {self._service} had records that it had not passed"

    async def gone(self) -> str:
        """Records given to a member of the group that is no more, as far as can be seen."""
        broker = self._context.broker
        if not self._owed:
            return ""
        members = set((await broker.assigned(self._service) or {}).values())
        lost = [at for at in self._owed if members and self._owners[at] not in members]
        return f"{len(lost)} partitions with records to pass were given to the member that is gone" if lost else ""


def _is_broker(link: Link, context: FaultContext) -> bool:
    system = context.system
    return link.dependency in system.dependencies and system.kind(link.dependency) == "kafka"


async def never_connected(links: Sequence[Link]) -> str:
    """Names the links over which their service has never connected, if it is all of them; where that is counted."""
    looks = [await link.traffic() for link in links]
    if not links or any(seen.connections or seen.accepted is None or seen.accepted for seen in looks):
        return ""
    names = ", ".join(link.name for link in links)
    return f"the service has no connection on {names}, and never made one"
