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


def proxy_name(replica: str, dependency: str) -> str:
    """Return the name of a link's proxy: ``shop-1.redis``, which any client of Toxiproxy can put in a URL as it is."""
    return f"{replica.replace('#', '-')}.{dependency.replace('#', '-')}"


class ProxiedLink:
    """The part of ``harness.stack.Link`` that every stack shares: all of it except ``traffic``.

    ``address`` and ``api`` are the host:port of the proxy and of its Toxiproxy's API; ``prober`` sends its requests
    to ``address``.
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
        """Put a toxic on this link while the scope lasts."""
        return self._toxics.toxic(self.proxy, toxic, stream, attributes)

    def refuse(self) -> Scope[None]:
        """Disable the proxy while the scope lasts."""
        return self._toxics.refusing(self.proxy)

    async def toxics(self) -> Collection[str]:
        """Return the types of the toxics that Toxiproxy reports on the proxy, and ``down`` if it is disabled."""
        return await self._toxics.types(self.proxy)

    async def probe(self, timeout: float, size: int = 0) -> Probe:
        """Send the harness's own requests through the proxy until ``size`` bytes of answers have arrived."""
        return await self._prober.probe(timeout, size)

    def _open(self, at: IPv4Address | IPv6Address | None, accepted: int | None = None) -> Traffic:
        """Return the service's established connections to the proxy, as the kernel lists them."""
        probe_ports = self._prober.own
        opened = [connection for connection in connections(self._port, at) if connection.peer not in probe_ports]
        return Traffic(
            {connection.peer: (connection.received, connection.sent) for connection in opened},
            {connection.peer: connection.unanswered for connection in opened if connection.unanswered is not None},
            accepted,
        )
