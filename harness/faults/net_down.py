"""net.down: ends connections and refuses new ones."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from harness.faults.base import Fault, FaultContext, Injected
from harness.faults.evidence import Ended, in_use, met
from harness.faults.net_hang import hang, silent
from harness.faults.work import Work, never_connected
from harness.stack import Link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class NetDown(Fault):
    """Takes the proxy down."""

    name = "net.down"
    summary: ClassVar[str] = "Takes a link down: its connections end, and new ones are refused."
    bites: ClassVar[str] = "A connection that the service had, or opened since, was ended."
    target = "link"
    needs: ClassVar[tuple[type, ...]] = (Link,)
    heals = True
    waits_inside = 2  # for the link to be used, and then for a connection

    def takes(self, on: str, context: FaultContext) -> list[str]:  # noqa: ARG002 - ``on`` says it all
        """The link: with nothing getting through, a second such fault would have nothing to bite."""
        return [on]

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """Refuse connections, once there is one to end: a refused attempt leaves no trace here.

        Once the service uses the link, silence it until a connection is or has been open: one for a single request
        would otherwise be over before the harness sees it.
        """
        links = context.links(on)
        armed = await silent(links, "down")
        work = await Work.since_now(on, context)
        async with AsyncExitStack() as held:
            if await in_use(links, context, work):
                await hang(links, "both", held)
                before = await met(links, context)
            else:
                before = [await link.traffic() for link in links]
            ended = Ended(links, before, f"{on}: connections of the service's were ended")
            async with links[0].refuse():
                await held.aclose()
                yield Injected(armed, ended.look, after=ended.look, vain=partial(never_connected, links))
