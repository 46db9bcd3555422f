"""net.partition: cuts a replica off from dependencies, or a dependency off from all services."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import ConfigDict, Field

from harness.faults.base import Fault, FaultContext, Injected
from harness.faults.evidence import Unanswered
from harness.faults.net_hang import HANGING, hang, silent
from harness.faults.targets import cut_from, cut_off
from harness.faults.work import never_connected
from harness.stack import Link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harness.system import System


class NetPartition(Fault):
    """Drops everything, both ways, on several links at once.

    On a replica: its links to what ``from`` names, or all of its links. On a dependency: every link to it.
    """

    model_config = ConfigDict(populate_by_name=True)

    name = "net.partition"
    summary: ClassVar[str] = (
        "Cuts off a replica from what `from:` names (or from everything), or a dependency from everybody."
    )
    bites: ClassVar[str] = (
        "A service's request went unanswered for 0.6 s, or the service gave up a connection that awaited an answer."
    )
    target = "cut"
    needs: ClassVar[tuple[type, ...]] = (Link,)
    heals = True

    off: Annotated[tuple[str, ...], Field(alias="from")] = ()
    """For a replica: what to cut it off from, for example ``[kafka, redis]``; default: everything."""

    def check(self, on: str, system: System) -> None:
        """The replica must have links to what ``from`` names."""
        cut_off(on, self.off, system)

    def takes(self, on: str, context: FaultContext) -> list[str]:
        """Every link that the fault cuts."""
        return [link.name for link in self._cut(on, context)]

    def _cut(self, on: str, context: FaultContext) -> list[Link]:
        off = cut_from(self.off, context.system)
        return [
            link
            for link in context.stack.links.values()
            if link.dependency == on or (link.service == on and (not self.off or link.dependency in off))
        ]

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """Hang every link of the cut in both directions."""
        links = self._cut(on, context)
        armed = await silent(links, HANGING)
        before = [await link.traffic() for link in links]
        async with AsyncExitStack() as toxics:
            await hang(links, "both", toxics)
            unanswered = await Unanswered.since(links, before)
            yield Injected(armed, unanswered.look, vain=partial(never_connected, links))
