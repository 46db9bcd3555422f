"""net.hang: drops bytes silently; the connection closes at the heal."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.faults.base import Evidence, Fault, FaultContext, Injected, Look
from harness.faults.evidence import Unanswered
from harness.faults.work import never_connected
from harness.stack import Link, Probe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


HANGING = "timeout"
"""Toxiproxy's toxic that drops everything."""

PROBE = 0.5
"""Seconds without an answer after which a probe of a silenced link gives up."""

_PATIENCE = 10.0
"""The same for a probe that should be answered: a busy machine is slow, and only a link that did answer can go silent."""

Direction = Literal["upstream", "downstream", "both"]


class NetHang(Fault):
    """Drops bytes silently.

    Upstream: requests never arrive. Downstream: requests are executed, but their answers are lost.
    """

    name = "net.hang"
    summary: ClassVar[str] = "Silences a link: it drops requests (upstream), answers (downstream) or both."
    bites: ClassVar[str] = (
        "A service's request went unanswered for 0.6 s, or the service gave up a connection that awaited an answer."
    )
    target = "link"
    needs: ClassVar[tuple[type, ...]] = (Link,)
    heals = True

    direction: Direction = "both"
    """What to drop: requests (``upstream``), answers (``downstream``) or both."""

    def takes(self, on: str, context: FaultContext) -> list[str]:  # noqa: ARG002 - ``on`` says it all
        """The link: with nothing getting through, a second such fault would have nothing to bite."""
        return [on]

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """Add a timeout toxic that never ends, in each direction."""
        links = context.links(on)
        armed = await silent(links, HANGING)
        before = [await link.traffic() for link in links]
        async with AsyncExitStack() as toxics:
            await hang(links, self.direction, toxics)
            unanswered = await Unanswered.since(links, before)
            yield Injected(armed, unanswered.look, vain=partial(never_connected, links))


async def hang(links: Sequence[Link], direction: Direction, toxics: AsyncExitStack) -> None:
    """Hang every link until ``toxics`` is left."""
    for link in links:
        if direction != "downstream":
            await toxics.enter_async_context(link.disturb(HANGING, stream="upstream", timeout=0))
        if direction != "upstream":
            await toxics.enter_async_context(link.disturb(HANGING, stream="downstream", timeout=0))


async def silent(links: Sequence[Link], toxic: str) -> Look:
    """Return a look for links that answer now, went silent, and whose proxy itself reports the toxic.

    Links that another fault silenced do not count. Silence alone proves nothing: a busy machine may be as slow.
    """
    before = {name: probe for name, probe in (await _probed(links, _PATIENCE)).items() if probe.answered}

    async def armed() -> Evidence | None:
        probed = [link for link in links if link.name in before]
        after = await _probed(probed, PROBE)
        if not before or any(probe.answered for probe in after.values()):
            return None
        if not all([toxic in await link.toxics() for link in probed]):
            return None
        return Evidence(
            "armed",
            f"{', '.join(after)}: a probe was not answered",
            {name: {"seconds": probe.seconds} for name, probe in before.items()},
            {name: {"error": probe.error} for name, probe in after.items()},
        )

    return armed


async def _probed(links: Sequence[Link], seconds: float) -> dict[str, Probe]:
    probes = await asyncio.gather(*(link.probe(seconds) for link in links))
    return {link.name: probe for link, probe in zip(links, probes, strict=True)}
