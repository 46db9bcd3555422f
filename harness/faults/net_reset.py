"""net.reset: resets connections as soon as an answer flows."""

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
    """Resets a connection with its first answer; idle connections stay."""

    name = "net.reset"
    summary: ClassVar[str] = "Resets a link's connections as soon as an answer flows, after the request was executed."
    bites: ClassVar[str] = (
        "A connection that carried a request ended, or one ended and the service reconnected; its process survived."
    )
    target = "link"
    needs: ClassVar[tuple[type, ...]] = (Link,)
    heals = True

    def takes(self, on: str, context: FaultContext) -> list[str]:  # noqa: ARG002 - ``on`` says it all
        """The link: with nothing getting through, a second such fault would have nothing to bite."""
        return [on]

    @asynccontextmanager
    async def inject(self, on: str, context: FaultContext) -> AsyncIterator[Injected]:
        """Add a reset_peer toxic downstream."""
        links = context.links(on)
        armed = await silent(links, "reset_peer")
        owner = context.stack.services.get(links[0].service)
        reset = await Reset.since_now(links[0], owner, f"{on}: connections of the service's were reset")
        async with links[0].disturb("reset_peer", timeout=0):
            yield Injected(armed, reset.look, after=reset.look, vain=partial(never_connected, links))
