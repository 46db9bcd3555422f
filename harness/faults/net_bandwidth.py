"""net.bandwidth: throttles answers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from harness.faults.base import Evidence, Fault, FaultContext, Injected
from harness.faults.evidence import Moved, late
from harness.faults.work import never_connected
from harness.stack import Link
from harness.units import Bandwidth

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PROBED = 0.3
"""Seconds that a probe's answer takes at the throttled rate."""

_PATIENCE = 10.0
"""Seconds that a probe waits beyond the time the throttle takes."""

_LARGEST = 256 * 1024
"""Bytes of the largest probe; a larger one would itself be load."""


class NetBandwidth(Fault):
    """Limits each connection to ``rate`` bytes a second towards the service."""

    name = "net.bandwidth"
    summary: ClassVar[str] = "Throttles answers on a link to at most rate bytes a second on each connection."
    bites: ClassVar[str] = (
        "A service's connection carried request and answer through the throttle, or was given up before the answer."
    )
    target = "link"
    needs: ClassVar[tuple[type, ...]] = (Link,)
    heals = True

    rate: Annotated[Bandwidth, Field(ge=1000)]
    """The limit on each connection towards the service, at least 1000 bytes a second."""

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """Add a bandwidth toxic downstream; Toxiproxy counts in thousands of bytes a second."""
        (link,) = context.links(on)
        size = min(round(self.rate * _PROBED), _LARGEST)
        least = size / self.rate / 2

        async def armed() -> Evidence | None:
            probe = await late(link, "bandwidth", least, patience=10 * least + _PATIENCE, size=size)
            if probe is None:
                return None
            return Evidence(
                "armed",
                f"{on}: a probe's answer trickled",
                {"bytes": size, "seconds_at_least": least},
                {"bytes": size, "seconds": probe.seconds},
            )

        async with link.disturb("bandwidth", rate=max(1, round(self.rate / 1000))):
            moved = await Moved.since_now(link, "the service's own traffic went through the throttle")
            yield Injected(armed, moved.look, vain=partial(never_connected, [link]))
