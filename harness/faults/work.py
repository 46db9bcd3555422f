"""What the system had to do while a fault was in place: a bite means something only if the system was at work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias
from weakref import WeakKeyDictionary

from harness.errors import OneffectError
from harness.faults.base import FaultContext
from harness.faults.patience import Patience
from harness.stack import Broker, Link, TopicPartition, Traffic

if TYPE_CHECKING:
    from harness.system import System

ENOUGH: Final = 5
"""Records or operations that a window must see, as ``evidence.ENOUGH_IN_WINDOW`` demands."""

Sent: TypeAlias = "Mapping[tuple[str, int], int]"
"""(link, client port) -> bytes that a replica has sent."""

_OTHERS: Final[WeakKeyDictionary[Broker, dict[str, frozenset[str]]]] = WeakKeyDictionary()
"""Broker -> replica -> members of its group when it was started last, of which none is that process."""

_ASKED: Final = 2.0
"""Seconds that a start waits for the broker to name them."""

Step: TypeAlias = "Callable[[], Awaitable[None]]"
"""Does one thing to a replica."""

_AGAIN: Final = 0.02
"""Seconds between two looks for work in progress."""

_BETTER: Final = 100
"""Looks for a request under way before records suffice: a record may have been delivered and not yet begun."""

_HELD: Final = 5.0
"""Seconds to hold back the answers on one link before trying another."""

_HELD_MS: Final = 10_000
"""Milliseconds that an answer is held back unless the toxic is removed first."""


@dataclass(frozen=True, slots=True)
class Hit:
    """The consumers that a fault hits, and whether it hits the front door."""

    services: frozenset[str]
    front: bool

    @classmethod
    def by(cls, target: str, context: FaultContext) -> Hit:
        """Return what a target hits: its service if that consumes or is the front door, else the services using it."""
        system = context.system
        start = target.partition("->")[0].partition("#")[0]
        known = {start} & system.services.keys()
        front = system.load.front
        if not known & {*_consumers(system), *filter(None, [front])}:
            known |= {source.partition("#")[0] for source, end in system.links() if end == start}
        return cls(frozenset(known & _consumers(system)), front in known)


def _consumers(system: System) -> set[str]:
    """Return the services that have effects, or whose placeholders name their consumer group."""
    grouped = {name for name, service in system.services.items() if "group" in service.placeholders()}
    return grouped | system.effects.keys()


@dataclass(slots=True)
class Work:
    """Counts work from one moment on. ``given`` and ``begun`` return None where it cannot be counted."""

    context: FaultContext
    hit: Hit
    committed: Mapping[str, Mapping[TopicPartition, int]] = field(default_factory=dict)
    ends: Mapping[TopicPartition, int] = field(default_factory=dict)
    begun_before: int = 0
    seen: dict[str, set[TopicPartition]] = field(default_factory=dict)
    """Partitions that each service's group was ever seen to have: it has none while its members are dead, or join."""

    @classmethod
    async def since_now(cls, target: str, context: FaultContext) -> Work:
        """Start counting now, for the services that a fault on ``target`` hits."""
        hit = Hit.by(target, context)
        begun = context.begun() if context.begun is not None else 0
        if not hit.services:
            return cls(context, hit, begun_before=begun)
        committed = {name: await context.broker.committed(name) for name in sorted(hit.services)}
        work = cls(context, hit, committed, await context.broker.ends(context.topics), begun)
        for name in committed:
            await work._reads(name)
        return work

    async def given(self) -> int | None:
        """Return the most records that any one consumer hit had yet to pass at the beginning or has received since.

        None if no consumer is hit whose partitions are visible.
        """
        if not self.hit.services:
            return None
        ends = await self.context.broker.ends(self.context.topics)
        every = [await self._reads(name) for name in self.committed]
        return max([await self._owed(reads, ends) for reads in every if reads is not None], default=None)

    async def _owed(self, reads: Mapping[TopicPartition, int | None], now: Mapping[TopicPartition, int]) -> int:
        """Count the records between what a group had passed at the beginning and ``now``; if they are many, the offsets."""
        begins = {at: offset if offset is not None else self.ends.get(at, 0) for at, offset in reads.items()}
        offsets = sum(max(0, now.get(at, 0) - begin) for at, begin in begins.items())
        # Each committed transaction adds one marker to its records. So with more offsets than this, there are as many records
        # as a window needs, and reading them would delay the fault. Neither aborted records nor tombstones are told apart here.
        if offsets > 2 * ENOUGH + len(begins):
            return offsets
        return sum((await self.context.broker.records(begins, now)).values())

    async def passed(self) -> int | None:
        """Count the records that the consumers hit have passed since; None where they cannot be counted."""
        if not self.hit.services:
            return None
        now = {name: await self.context.broker.committed(name) for name in self.committed}
        return sum(
            max(0, offset - before.get(at, self.ends.get(at, 0) if not before else 0))
            for name, before in self.committed.items()
            for at, offset in now[name].items()
        )

    async def _reads(self, service: str) -> Mapping[TopicPartition, int | None] | None:
        """Map each partition to its committed offset at the beginning, if any; None if no partition is visible."""
        assigned = await self.context.broker.assigned(service)
        seen = self.seen.setdefault(service, set(self.committed[service]))
        seen.update(assigned or ())
        return {at: self.committed[service].get(at) for at in seen} if seen or assigned is not None else None

    def begun(self) -> int | None:
        """Count the load's operations begun since; None without a load."""
        return self.context.begun() - self.begun_before if self.context.begun is not None else None

    async def counts(self) -> tuple[int | None, int | None]:
        """Return records given and operations begun; operations only if the front door is hit or no records can be counted."""
        given = await self.given()
        return given, self.begun() if given is None or self.hit.front else None

    async def most(self) -> int | None:
        """Return the larger of the two counts; None where there is none."""
        return max((count for count in await self.counts() if count is not None), default=None)


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that awaits its answer; ``sent``: what the replica had sent by then, on any of its links."""

    link: str
    ports: frozenset[int]
    sent: Sent

    @property
    def said(self) -> str:
        return f"a request on {self.link} was under way"


class InHand:
    """The work that a replica had in progress when it was stopped.

    ``what`` describes a request under way on one of its links, an upload, or records delivered to every member of its group:
    records that existed before the stop, and that the group had not passed once the replica stood still. ``gone`` finds,
    afterwards, such records that belonged to a member which has left the group.
    """

    def __init__(self, context: FaultContext, replica: str) -> None:
        self._context, self._replica = context, replica
        self._service = replica.partition("#")[0]
        links = context.links_of(replica)
        self._links = [link for link in links if not _is_broker(link, context)]
        self._brokers = [link for link in links if _is_broker(link, context)]
        self.what = ""
        self._owners: Mapping[TopicPartition, str] = {}
        self._ends: Mapping[TopicPartition, int] = {}
        self._owed: set[TopicPartition] = set()
        self._others = _OTHERS.get(context.broker, {}).get(replica, frozenset())
        self._old: Mapping[tuple[str, int], int] = {}
        """(link, client port) -> bytes that had come when the search began."""
        self._passed: Mapping[TopicPartition, int] = {}
        """What the group had passed then; nothing where that does not tell whether the service is at work."""

    @classmethod
    async def at(cls, replica: str, context: FaultContext, stop: Step, go_on: Step | None = None) -> InHand:
        """Stop the replica (``stop``) once it has work in hand, after ``context.patience`` at the latest.

        Wait for a request under way first, since it proves that a record was begun. If requests are too short to see,
        hold back the answers on one link after another until a request waits for its answer.

        Work can end between looking and stopping. So look again after the stop; if the replica turns out to have been
        idle, let it ``go_on`` and try again, if it can. A request that was under way before may be a poll that nobody
        answers, and so may each one of a consumer whose group has nothing to do.
        """
        hand, clock, looks, next_link = cls(context, replica), asyncio.get_running_loop(), 0, 0.0
        if context.patience:
            hand._old, hand._passed = _came(await hand._look_at_links()), await hand._tells()
        # What cannot be undone waits until the group has work. Asked once a request is seen, the broker tells it too late.
        idle = go_on is None and bool(hand._passed)
        begun, asked, patience = clock.time(), None, Patience(context.patience)
        async with AsyncExitStack() as held:
            try:
                while True:
                    waited, looks = clock.time() - begun, looks + 1
                    late, unmet = patience.over(), looks > _BETTER or waited >= context.patience / 6
                    idle = idle and await hand._idle()
                    request, has_records = None if idle else await hand._request(), False
                    at_work = request is not None or bool(hand._uploads())
                    if not at_work and (unmet or not hand._links):
                        # In a task of its own: a busy broker may take seconds to answer, and a request is over by then.
                        asked = asked or asyncio.create_task(hand._has_records())
                        if late or not hand._links:
                            await asyncio.wait([asked])
                        if asked.done():
                            has_records, asked = asked.result(), None
                    if at_work or has_records or late:
                        await hand._stop(request, stop, go_on)
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

    async def _stop(self, request: _Request | None, stop: Step, go_on: Step | None) -> None:
        """Stop the replica and see what it had in hand; if the broker cannot say, let it go on and raise."""
        uploads = self._uploads()
        await stop()
        try:
            if go_on is not None:
                # It stands still, and what is under way now was so as it stopped. A dead one's connections are gone.
                uploads, request = self._uploads(), request if request and await self._stands(request) else None
            if request and await self._idle():
                # Not taken for work again: it is the same one until more has come.
                request, self._old = None, _came(await self._look_at_links())
            self.what = (request.said if request else uploads) or await self._kept_records()
        except BaseException:
            if go_on is not None:
                await go_on()
            raise

    async def seen(self) -> str:
        """Describe a request or uploads under way now, without asking the broker; empty if there are none."""
        request = await self._request()
        return request.said if request is not None else self._uploads()

    async def _look_at_links(self) -> Mapping[Link, Traffic]:
        # Those to the broker first: what is sent after they were seen counts as sent since.
        return {link: await link.traffic() for link in (*self._brokers, *self._links)}

    async def _request(self) -> _Request | None:
        seen = await self._look_at_links()
        came = _came(seen)
        for link in self._links:
            asked = [
                port for port in seen[link].unanswered if came[link.name, port] != self._old.get((link.name, port))
            ]
            if asked:
                return _Request(link.name, frozenset(asked), self._sent(seen))
        return None

    async def _tells(self) -> Mapping[TopicPartition, int]:
        """Return what the service's group has passed, if whoever works there has records to pass."""
        system = self._context.system
        if self._service not in _consumers(system) or self._service == system.load.front:
            return {}
        if system.services[self._service].commits == "on_receipt":
            return {}
        try:
            return await self._context.broker.committed(self._service)
        except OneffectError:
            return {}  # the broker does not answer now

    async def _idle(self) -> bool:
        """Whether the group has passed nothing since the search began, and has no record to pass."""
        try:
            passed = await self._tells()
            ends = await self._context.broker.ends(self._context.topics) if passed else {}
            return bool(passed) and passed == self._passed and not await self._owing(passed, ends)
        except OneffectError:
            return False

    async def _stands(self, request: _Request) -> bool:
        """Whether a request still awaits its answer, or the replica has sent nothing since: it has not got any further."""
        seen = await self._look_at_links()
        waiting = next(traffic.unanswered for link, traffic in seen.items() if link.name == request.link)
        return not request.ports.isdisjoint(waiting) or self._sent(seen) == request.sent

    def _sent(self, seen: Mapping[Link, Traffic]) -> Sent:
        return {
            (link.name, port): received if link.service == self._replica else sent
            for link, traffic in seen.items()
            for port, (received, sent) in traffic.connections.items()
        }

    def _uploads(self) -> str:
        """Say that uploads are under way; they go to the front door's first replica."""
        if self._context.under_way is None or self._replica != f"{self._context.system.load.front}#1":
            return ""
        count = self._context.under_way()
        return f"{count} uploads were under way" if count else ""

    async def _has_records(self) -> bool:
        """Whether, before the stop, every member of the group has records to pass."""
        broker = self._context.broker
        if self._service not in _consumers(self._context.system):
            return False
        self._owners = await broker.assigned(self._service) or {}
        self._ends = await broker.ends(self._context.topics)
        return await self._look() != ""

    async def _kept_records(self) -> str:
        """Say that every member still has records to pass that existed before the stop; empty if not."""
        return await self._look() if self._owners else ""

    async def _look(self) -> str:
        committed = await self._context.broker.committed(self._service)
        self._owed = await self._owing({at: committed[at] for at in self._owners if at in committed}, self._ends)
        members, at_work = set(self._owners.values()), {self._owners[at] for at in self._owed}
        # Kafka does not tell which member is which replica; if every member has records, this replica has some, unless it has
        # yet to join: the broker keeps a dead process's member until its session is over.
        if members != at_work or len(members) < len(self._context.replicas_of(self._service)):
            return ""
        if members <= self._others:
            return ""
        return f"each of the {len(members)} members of {self._service} had records that it had not passed"

    async def _owing(
        self, passed: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> set[TopicPartition]:
        """Return the partitions that hold a record behind what was passed."""
        behind = {at: begin for at, begin in passed.items() if begin < ends.get(at, 0)}
        # These offsets may be the markers of transactions and what was aborted, and no group passes either. The last ones
        # mostly tell; only where they hold no record are all of them read.
        last = {at: max(begin, ends[at] - 2 * ENOUGH) for at, begin in behind.items()}
        owed = await self._holding(last, ends)
        longer = {at: begin for at, begin in behind.items() if begin < last[at] and at not in owed}
        return owed | await self._holding(longer, ends)

    async def _holding(
        self, begins: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> set[TopicPartition]:
        counts = await self._context.broker.records(begins, ends)
        return {at for at, count in counts.items() if count > 0}

    async def gone(self) -> str:
        """Describe the records that belonged to a member which has left the group; empty if none are visible."""
        broker = self._context.broker
        if not self._owed:
            return ""
        members = set((await broker.assigned(self._service) or {}).values())
        lost = [at for at in self._owed if members and self._owners[at] not in members | self._others]
        return f"{len(lost)} partitions with records to pass were given to the member that is gone" if lost else ""


async def starting(context: FaultContext, replica: str) -> None:
    """Note the members that a replica's group has before it is started: what they were given is none of its work."""
    service = replica.partition("#")[0]
    if service in _consumers(context.system):
        with suppress(OneffectError, TimeoutError):
            async with asyncio.timeout(_ASKED):
                owners = await context.broker.assigned(service) or {}
            _OTHERS.setdefault(context.broker, {})[replica] = frozenset(owners.values())


def _came(seen: Mapping[Link, Traffic]) -> Mapping[tuple[str, int], int]:
    return {
        (link.name, port): received
        for link, traffic in seen.items()
        for port, (received, _) in traffic.connections.items()
    }


def _is_broker(link: Link, context: FaultContext) -> bool:
    system = context.system
    return link.dependency in system.dependencies and system.kind(link.dependency) == "kafka"


async def never_connected(links: Sequence[Link]) -> str:
    """Say that a service has never connected on any of these links; empty if it has, or if a link does not count."""
    looks = [await link.traffic() for link in links]
    if not links or any(seen.connections or seen.accepted is None or seen.accepted for seen in looks):
        return ""
    names = ", ".join(link.name for link in links)
    return f"the service has no connection on {names}, and never made one"
