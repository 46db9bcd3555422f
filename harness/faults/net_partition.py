"""net.partition: one replica is cut off several things, or one thing off all."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import ConfigDict, Field

from harness.faults.base import Fault, FaultContext, Injected
from harness.faults.evidence import Unanswered
from harness.faults.net_hang import HANGING, hang, silent
from harness.faults.targets import cut_off
from harness.faults.work import never_connected
from harness.stack import Link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from harness.system import System


class NetPartition(Fault):
    """Drops everything, both ways, on several links at once.

    ``on`` a replica: its links to what ``from`` names, or all of its links. ``on`` a dependency: every link to it.
    """

    model_config = ConfigDict(populate_by_name=True)

    name = "net.partition"
    summary: ClassVar[str] = "Cuts a replica off what `from:` names (or off all), or a dependency off everybody."
    bites: ClassVar[str] = (
        "A request of a service's had no answer for 0.6 s, or the service gave up a connection that waited for one."
    )
    target = "cut"
    needs: ClassVar[tuple[type, ...]] = (Link,)
    heals = True

    off: Annotated[tuple[str, ...], Field(alias="from")] = ()
    """Of a replica: the dependencies that it is cut off, for example ``[kafka, redis]``; left out: all."""

    def check(self, on: str, system: System) -> None:
        """It must have what it is cut off from."""
        cut_off(on, self.off, system)

    def takes(self, on: str, context: FaultContext) -> list[str]:
        """Every link that it cuts."""
        return [link.name for link in self._cut(on, context)]

    def _cut(self, on: str, context: FaultContext) -> list[Link]:
        return [
            link
            for link in context.stack.links.values()
            if link.dependency == on or (link.service == on and (not self.off or link.dependency in self.off))
        ]

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """Every link that is cut hangs in both directions."""
        links = self._cut(on, context)
        armed = await silent(links, HANGING)
        before = [await link.traffic() for link in links]
        async with AsyncExitStack() as toxics:
            await hang(links, "both", toxics)
            unanswered = await Unanswered.since(links, before)
            yield Injected(armed, unanswered.look, vain=partial(never_connected, links))
