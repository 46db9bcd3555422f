"""Evidence from link traffic: what happened to the services' own connections."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.faults.base import Evidence, FaultContext
from harness.faults.patience import Patience
from harness.faults.work import ENOUGH, Work, never_connected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.stack import Link, Probe, ServiceHandle, Traffic

_AGAIN = 0.05
"""Seconds between looks."""

STANDSTILL = 0.6
"""Seconds without an answer that no healthy link shows: a Kafka client usually waits half a second at most."""

ANSWERED = 0.1
"""Seconds that a request must have waited for its lost connection to count as given up."""


class Ended:
    """Connections that a service had, or opened since, and lost."""

    def __init__(self, links: Sequence[Link], before: Sequence[Traffic], what: str) -> None:
        self._links = links
        self._before = before
        self._what = what

    @classmethod
    async def since_now(cls, links: Sequence[Link], what: str) -> Ended:
        """Start measuring now."""
        return cls(links, [await link.traffic() for link in links], what)

    async def look(self) -> Evidence | None:
        """Return evidence of a bite once a connection is gone."""
        gone: dict[str, int] = {}
        for link, before in zip(self._links, self._before, strict=True):
            now = await link.traffic()
            opened = _opened(before, now)
            ended = len(before.connections) + opened - len(now.connections)
            if lost := max(ended, len(before.connections.keys() - now.connections.keys())):
                gone[link.name] = lost
        if not gone:
            return None
        counts = {link.name: len(before.connections) for link, before in zip(self._links, self._before, strict=True)}
        return Evidence("bit", self._what, {"connections": counts}, {"ended": gone})


class Sought:
    """Attempts of services to reach a store while it was away.

    Ended connections prove little, since idle ones end too, but suffice where a link does not count what it accepts.
    """

    def __init__(self, links: Sequence[Link], before: Sequence[Traffic], ended: Ended, what: str) -> None:
        self._links, self._before, self._ended, self._what = links, before, ended, what

    @classmethod
    async def since_now(cls, links: Sequence[Link], store: str) -> Sought:
        """Start measuring now."""
        ended = await Ended.since_now(links, f"connections of the services' to {store} ended")
        what = f"services tried to connect to {store} while it was away"
        return cls(links, [await link.traffic() for link in links], ended, what)

    async def look(self) -> Evidence | None:
        """Return evidence of a bite once a service tried."""
        tries: dict[str, int] = {}
        for link, before in zip(self._links, self._before, strict=True):
            now = await link.traffic()
            if now.accepted is None:
                return await self._ended.look()
            if opened := _opened(before, now):
                tries[link.name] = opened
        return Evidence("bit", self._what, {}, {"tried": tries}) if tries else None


def _opened(before: Traffic, now: Traffic) -> int:
    return (now.accepted or 0) - (before.accepted or 0)


class Reset:
    """Connections that a service lost while it used the link.

    An end alone proves nothing: servers close idle connections, and a dying process loses all of its own. So a lost
    connection must have carried a request, or the service must have reconnected. Where the link does not count what it
    accepts, an end suffices: a connection reset with its first answer is gone before anybody looks.
    """

    def __init__(self, link: Link, owner: ServiceHandle | None, before: Traffic, what: str) -> None:
        self._link = link
        self._owner = owner
        self._what = what
        self._begin(before)

    @classmethod
    async def since_now(cls, link: Link, owner: ServiceHandle | None, what: str) -> Reset:
        """Start measuring now; ``owner`` is the replica at which the link begins, if known."""
        return cls(link, owner, await link.traffic(), what)

    def _begin(self, before: Traffic) -> None:
        self._pid = self._owner_pid()
        self._before = before
        self._received = {port: received for port, (received, _) in before.connections.items()}
        self._used = set(before.unanswered)

    def _owner_pid(self) -> int | None:
        return self._owner.pid if self._owner is not None else None

    async def look(self) -> Evidence | None:
        """Return evidence of a bite once a connection was lost and the service's process survived."""
        now = await self._link.traffic()
        if self._pid is None:
            self._pid = self._owner_pid()
        elif self._owner_pid() != self._pid:
            self._begin(now)
        for port, (received, _) in now.connections.items():
            if received > self._received.setdefault(port, 0):
                self._used.add(port)
        self._used |= now.unanswered.keys()
        gone = self._received.keys() - now.connections.keys()
        had, opened = len(self._before.connections), _opened(self._before, now)
        ended = max(had + opened - len(now.connections), len(gone))
        again = opened or now.accepted is None
        if not (ended and again) and not gone & self._used:
            return None
        # A dying process loses its connections a moment before it exits.
        await asyncio.sleep(_AGAIN)
        if self._owner_pid() != self._pid:
            return None
        name = self._link.name
        return Evidence("bit", self._what, {"connections": {name: had}}, {"ended": {name: ended}})


class Unanswered:
    """Requests that went unanswered for too long, or until the service gave up the connection.

    The kernel orders requests and answers only to some milliseconds, so a request on the heels of an answer does not
    show. A connection in use when the link went silent (``used``, by link) therefore counts once the service gives it
    up.
    """

    def __init__(self, links: Sequence[Link], used: Mapping[str, set[int]]) -> None:
        self._links = links
        self._used = used
        self._waiting: dict[str, set[int]] = {link.name: set() for link in links}

    @classmethod
    async def since(cls, links: Sequence[Link], before: Sequence[Traffic]) -> Unanswered:
        """Start measuring now; ``before`` is the links' traffic just before they went silent."""
        used = {}
        for link, had in zip(links, before, strict=True):
            now = await link.traffic()
            used[link.name] = {
                port
                for port, (received, _) in now.connections.items()
                if received > had.connections.get(port, (0, 0))[0]
            }
        return cls(links, used)

    async def look(self) -> Evidence | None:
        """Return evidence of a bite once there is such a request."""
        for link in self._links:
            now = await link.traffic()
            given_up = (self._used[link.name] | self._waiting[link.name]) - now.connections.keys()
            longest = max(now.unanswered.values(), default=0.0)
            self._waiting[link.name] = {port for port, seconds in now.unanswered.items() if seconds >= ANSWERED}
            if given_up:
                what = f"{link.name}: the service gave up a connection whose request was not answered"
                return Evidence("bit", what, {}, {"connections": len(given_up)})
            if longest >= STANDSTILL:
                what = f"{link.name}: a request of the service's reached the proxy and was not answered"
                return Evidence("bit", what, {}, {"seconds": longest, "connections": len(now.unanswered)})
        return None


async def late(link: Link, toxic: str, seconds: float, *, patience: float, size: int = 0) -> Probe | None:
    """Return a probe that took at least ``seconds``, if the proxy itself reports the toxic.

    Lateness alone proves nothing: on a busy machine everything is late. An earlier probe is no baseline either: it may
    have been slow, or have met another fault on the same link.
    """
    probe = await link.probe(patience, size)
    return probe if probe.answered and probe.seconds >= seconds and toxic in await link.toxics() else None


class Moved:
    """Bytes that went both ways through a link while a toxic was on it, or a request whose answer came too late.

    On a busy machine the delay may exceed the service's time-out: then it bites harder, and no answer ever comes.
    """

    def __init__(self, link: Link, before: Traffic, what: str) -> None:
        self._link = link
        self._before = before
        self._what = what
        self._waiting: set[int] = set()

    @classmethod
    async def since_now(cls, link: Link, what: str) -> Moved:
        """Start measuring now."""
        return cls(link, await link.traffic(), what)

    async def look(self) -> Evidence | None:
        """Return evidence of a bite once a connection carried request and answer, or was given up before the answer."""
        now = await self._link.traffic()
        if given_up := self._waiting - now.connections.keys():
            what = f"{self._link.name}: the service gave up a connection whose answer was late"
            return Evidence("bit", what, {}, {"connections": len(given_up)})
        for port, (received, sent) in now.connections.items():
            had_received, had_sent = self._before.connections.get(port, (0, 0))
            if received > had_received:
                self._waiting.add(port)
            if received > had_received and sent > had_sent:
                return Evidence(
                    "bit",
                    f"{self._link.name}: {self._what}",
                    {"bytes_received": had_received, "bytes_sent": had_sent},
                    {"bytes_received": received, "bytes_sent": sent},
                )
        return None


async def in_use(links: Sequence[Link], context: FaultContext, work: Work) -> bool:
    """Wait until the service has a connection open, or has opened one since; return whether it has.

    Give up when the fault's patience is over, or if the service makes progress without ever having connected: it will
    not connect now.
    """
    patience = Patience(context.patience)
    before = [await link.traffic() for link in links]
    while not patience.over():
        now = [await link.traffic() for link in links]
        if any(one.connections or _opened(had, one) for had, one in zip(before, now, strict=True)):
            return True
        if await never_connected(links) and (await work.passed() or 0) >= ENOUGH:
            return False
        await context.sleep(_AGAIN)
    return False


async def met(links: Sequence[Link], context: FaultContext) -> list[Traffic]:
    """Wait on silent links until two looks in a row see one connection, or one has been opened; return their traffic.

    Give up when the fault's patience is over. A connection seen only once may have been about to end by itself; one
    opened since got no answer, whether or not the service gave it up before the next look.
    """
    first = now = [await link.traffic() for link in links]
    kept: list[set[int]] = [set() for _ in links]
    patience = Patience(context.patience)
    while not any(kept) and not any(map(_opened, first, now)) and not patience.over():
        await context.sleep(_AGAIN)
        seen, now = now, [await link.traffic() for link in links]
        kept = [had.connections.keys() & one.connections.keys() for had, one in zip(seen, now, strict=True)]
    return [
        replace(one, connections={port: one.connections[port] for port in ports}, accepted=had.accepted)
        for had, one, ports in zip(first, now, kept, strict=True)
    ]


async def total_received(links: Sequence[Link]) -> int:
    """Bytes that services have sent over the currently open connections."""
    looks = [await link.traffic() for link in links]
    return sum(received for traffic in looks for received, _ in traffic.connections.values())
