"""net.latency: answers come late."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from harness.faults.base import Evidence, Fault, FaultContext, Injected
from harness.faults.evidence import Moved, late
from harness.faults.work import never_connected
from harness.stack import Link
from harness.units import Duration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PATIENCE = 10.0
"""Seconds that a probe waits beyond the latency."""


class NetLatency(Fault):
    """Delays what goes to the service by ``latency``, give or take ``jitter``."""

    name = "net.latency"
    summary: ClassVar[str] = "Answers on a link come late: by latency, give or take jitter."
    bites: ClassVar[str] = (
        "A connection of the service's was asked and answered through the delay, or given up before the answer."
    )
    target = "link"
    needs: ClassVar[tuple[type, ...]] = (Link,)
    heals = True

    latency: Duration
    """How much later answers arrive."""
    jitter: Duration = 0.0
    """How much more or less than ``latency`` it may be, at random."""

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """A latency toxic downstream."""
        (link,) = context.links(on)
        least = max(self.latency - self.jitter, 0.0) * 0.9
        patience = self.latency + self.jitter + _PATIENCE

        async def armed() -> Evidence | None:
            probe = await late(link, "latency", least, patience=patience)
            if probe is None:
                return None
            return Evidence(
                "armed", f"{on}: a probe came late", {"seconds_at_least": least}, {"seconds": probe.seconds}
            )

        async with link.disturb("latency", latency=round(self.latency * 1000), jitter=round(self.jitter * 1000)):
            moved = await Moved.since_now(link, "the service's own traffic went through the delay")
            yield Injected(armed, moved.look, vain=partial(never_connected, [link]))
