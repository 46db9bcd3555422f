"""Evidence in the traffic of links: what the services' own connections went through."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from harness.faults.base import Evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.stack import Link, Traffic

STANDSTILL = 0.6
"""Seconds without a byte to the service, after a request of its, that no healthy link shows: a Kafka client's longest
usual wait for an answer is half a second."""


class Ended:
    """Connections that a service had, or opened since, and that are gone."""

    def __init__(self, links: Sequence[Link], before: Sequence[Traffic], what: str) -> None:
        self._links = links
        self._before = before
        self._what = what

    @classmethod
    async def since_now(cls, links: Sequence[Link], what: str) -> Ended:
        """Measured from now on."""
        return cls(links, [await link.traffic() for link in links], what)

    async def look(self) -> Evidence | None:
        """Bit as soon as one of them is gone."""
        gone: dict[str, int] = {}
        for link, before in zip(self._links, self._before, strict=True):
            now = await link.traffic()
            opened = now.accepted - before.accepted
            ended = len(before.connections) + opened - len(now.connections)
            if lost := max(ended, len(before.connections.keys() - now.connections.keys())):
                gone[link.name] = lost
        if not gone:
            return None
        counts = {link.name: len(seen.connections) for link, seen in zip(self._links, self._before, strict=True)}
        return Evidence("bit", self._what, {"connections": counts}, {"ended": gone})


class Unanswered:
    """Bytes that came from a service while none went back to it."""

    def __init__(self, silences: Sequence[_Silence]) -> None:
        self._silences = silences

    @classmethod
    async def since_now(cls, links: Sequence[Link]) -> Unanswered:
        """Measured from now on."""
        return cls([_Silence(link, await link.traffic()) for link in links])

    async def look(self) -> Evidence | None:
        """Bit as soon as one link had a request of the service's and then stood still."""
        for silence in self._silences:
            if (asked := await silence.lasted(STANDSTILL)) is not None:
                return Evidence(
                    "bit",
                    f"{silence.link.name}: the proxy received requests of the service's and gave no answer",
                    {"bytes_received": 0},
                    {"bytes_received": asked, "bytes_sent": 0, "seconds": STANDSTILL},
                )
        return None


class _Silence:
    """How long a link has been silent since a request."""

    def __init__(self, link: Link, now: Traffic) -> None:
        self.link = link
        self._last = now
        self._asked = 0
        self._since = 0.0

    async def lasted(self, seconds: float) -> int | None:
        """Bytes that were asked in a silence that has lasted so long; None if there is none."""
        now = await self.link.traffic()
        last, self._last = self._last, now
        none = (0, 0)
        if any(now.connections[port][1] > last.connections.get(port, none)[1] for port in now.connections):
            self._asked = 0
            return None
        asked = sum(max(0, got[0] - last.connections.get(port, none)[0]) for port, got in now.connections.items())
        if asked and not self._asked:
            self._since = time.monotonic()
        self._asked += asked
        return self._asked if self._asked and time.monotonic() - self._since >= seconds else None


class Moved:
    """Bytes that went both ways through a link while something was on it."""

    def __init__(self, link: Link, before: Traffic, what: str) -> None:
        self._link = link
        self._before = before
        self._what = what

    @classmethod
    async def since_now(cls, link: Link, what: str) -> Moved:
        """Measured from now on."""
        return cls(link, await link.traffic(), what)

    async def look(self) -> Evidence | None:
        """Bit as soon as one connection was asked and answered."""
        now = await self._link.traffic()
        for port, (received, sent) in now.connections.items():
            had_received, had_sent = self._before.connections.get(port, (0, 0))
            if received > had_received and sent > had_sent:
                return Evidence(
                    "bit",
                    f"{self._link.name}: {self._what}",
                    {"bytes_received": had_received, "bytes_sent": had_sent},
                    {"bytes_received": received, "bytes_sent": sent},
                )
        return None


async def total_received(links: Sequence[Link]) -> int:
    """Bytes that services have sent over the connections open now."""
    looks = [await link.traffic() for link in links]
    return sum(received for seen in looks for received, _ in seen.connections.values())
