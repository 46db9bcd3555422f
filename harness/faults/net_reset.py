"""net.reset: connections are reset as soon as data flows."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from harness.faults.base import Fault, FaultContext, Injected
from harness.faults.evidence import Reset
from harness.faults.net_hang import silent
from harness.faults.work import never_connected
from harness.stack import Link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class NetReset(Fault):
    """Resets connections with the first answer; an idle connection stays."""

    name = "net.reset"
    summary: ClassVar[str] = "Connections of a link are reset as soon as an answer flows; the request was executed."
    bites: ClassVar[str] = (
        "A connection with a request on it ended, or one ended and the service connected again; its process outlived it."
    )
    target = "link"
    needs: ClassVar[tuple[type, ...]] = (Link,)
    heals = True

    def takes(self, on: str, context: FaultContext) -> list[str]:  # noqa: ARG002 - what it is on is all
        """The link: where nothing gets through, a second fault of this kind would meet nothing."""
        return [on]

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """A reset_peer toxic downstream."""
        links = context.links(on)
        armed = await silent(links, "reset_peer")
        owner = context.stack.services.get(links[0].service)
        reset = await Reset.since_now(links[0], owner, f"{on}: connections of the service's were reset")
        async with links[0].disturb("reset_peer", timeout=0):
            yield Injected(armed, reset.look, after=reset.look, vain=partial(never_connected, links))
