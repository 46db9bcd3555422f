"""The connection from one replica to one dependency or service, through its own proxy in a Toxiproxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from harness.clients.sockets import connections
from harness.stack import Probe, Traffic

if TYPE_CHECKING:
    from collections.abc import Collection
    from contextlib import AbstractAsyncContextManager as Scope
    from ipaddress import IPv4Address, IPv6Address

    from harness.clients.probes import Prober
    from harness.stacks.toxics import Toxics


class ProxiedLink:
    """What links of every stack have in common: ``harness.stack.Link`` but for ``traffic``.

    ``address`` and ``api`` are host:port of the proxy and of its Toxiproxy's API; ``prober`` asks at ``address``.
    """

    def __init__(  # noqa: PLR0913 - what a link joins
        self, service: str, dependency: str, *, toxics: Toxics, proxy: str, address: str, api: str, prober: Prober
    ) -> None:
        self.name = f"{service}->{dependency}"
        self.service, self.dependency = service, dependency
        self.address, self.api, self.proxy = address, api, proxy
        self._toxics, self._prober = toxics, prober
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)

    def disturb(
        self, toxic: str, *, stream: Literal["upstream", "downstream"] = "downstream", **attributes: int
    ) -> Scope[None]:
        """A toxic on this link while the scope lasts."""
        return self._toxics.toxic(self.proxy, toxic, stream, attributes)

    def refuse(self) -> Scope[None]:
        """The proxy is off while the scope lasts."""
        return self._toxics.refusing(self.proxy)

    async def toxics(self) -> Collection[str]:
        """Types of the toxics that the proxy says are on it now; ``down`` if it says that it is off."""
        return await self._toxics.types(self.proxy)

    async def probe(self, timeout: float, size: int = 0) -> Probe:
        """Requests of the harness's own through the proxy, until the answers make up ``size`` bytes."""
        return await self._prober.probe(timeout, size)

    def _open(self, at: IPv4Address | IPv6Address | None, accepted: int | None = None) -> Traffic:
        """The service's own connections to the proxy that are open at both ends, as the kernel shows them."""
        own = self._prober.own
        theirs = [one for one in connections(self._port, at) if one.peer not in own]
        return Traffic(
            {one.peer: (one.received, one.sent) for one in theirs},
            {one.peer: one.unanswered for one in theirs if one.unanswered is not None},
            accepted,
        )
