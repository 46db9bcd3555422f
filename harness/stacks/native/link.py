"""A link whose proxy is in one of the stack's own Toxiproxies, whose log shows each accepted connection."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from harness.stack import Traffic
from harness.stacks.link import ProxiedLink, proxy_name

if TYPE_CHECKING:
    from harness.clients.probes import Prober
    from harness.stacks.native.toxiproxy import Toxiproxy


class NativeLink(ProxiedLink):
    """Implements ``harness.stack.Link``."""

    def __init__(self, service: str, dependency: str, *, toxiproxy: Toxiproxy, address: str, prober: Prober) -> None:
        super().__init__(
            service,
            dependency,
            toxics=toxiproxy.toxics,
            proxy=proxy_name(service, dependency),
            address=address,
            api=toxiproxy.address,
            prober=prober,
        )
        self._toxiproxy = toxiproxy
        self._at = ip_address(self._host)
        self._accepted = 0

    def begin(self) -> None:
        """Reset the count of accepted connections, because a new run's services are about to start."""
        for proxy in self.proxies:
            self._toxiproxy.accepted(proxy)
        self._prober.used.clear()
        self._accepted = 0

    async def lead(self, to: str) -> None:
        """Point the proxy at ``to`` (host:port); its connections end."""
        await self._toxiproxy.lead(self.proxy, to)

    async def traffic(self) -> Traffic:
        """Return the service's connections."""
        for client in [client for proxy in self.proxies for client in self._toxiproxy.accepted(proxy)]:
            if client in self._prober.used:
                self._prober.used.discard(client)
            else:
                self._accepted += 1
        return self._open(self._at, self._accepted)
