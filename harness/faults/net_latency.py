"""net.latency: delays answers."""

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
    """Delays bytes towards the service by ``latency``, plus or minus ``jitter``."""

    name = "net.latency"
    summary: ClassVar[str] = "Delays answers on a link by latency, plus or minus jitter."
    bites: ClassVar[str] = (
        "A service's connection carried request and answer through the delay, or was given up before the answer."
    )
    target = "link"
    needs: ClassVar[tuple[type, ...]] = (Link,)
    heals = True

    latency: Duration
    """By how much to delay answers."""
    jitter: Duration = 0.0
    """How far the delay may deviate from ``latency``, at random."""

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """Add a latency toxic downstream."""
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
