"""The connection from one replica to one dependency or service, through its own proxy in a Toxiproxy."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Literal

from harness.clients.sockets import connections
from harness.stack import Probe, Traffic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping
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
    to ``address``. A link to a cluster has further proxies, and whatever is done to the link is done to all of them.
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
        self._others: Mapping[str, str] = {}

    def lead_also(self, proxies: Mapping[str, str]) -> None:
        """Take these for this link's further proxies, name -> host:port, in place of those that it had."""
        self._others = proxies

    @property
    def proxies(self) -> Collection[str]:
        """The names of all proxies of this link, ``proxy`` first."""
        return [self.proxy, *self._others]

    def disturb(
        self, toxic: str, *, stream: Literal["upstream", "downstream"] = "downstream", **attributes: int
    ) -> Scope[None]:
        """Put a toxic on this link while the scope lasts."""
        return _together(self._toxics.toxic(proxy, toxic, stream, attributes) for proxy in self.proxies)

    def refuse(self) -> Scope[None]:
        """Disable the proxy while the scope lasts."""
        return _together(self._toxics.refusing(proxy) for proxy in self.proxies)

    async def toxics(self) -> Collection[str]:
        """Return the types of the toxics that Toxiproxy reports on the proxy, and ``down`` if it is disabled."""
        return {kind for proxy in self.proxies for kind in await self._toxics.types(proxy)}

    async def probe(self, timeout: float, size: int = 0) -> Probe:
        """Send the harness's own requests through the proxy until ``size`` bytes of answers have arrived."""
        return await self._prober.probe(timeout, size)

    def _open(self, at: IPv4Address | IPv6Address | None, accepted: int | None = None) -> Traffic:
        """Return the service's established connections to the proxy, as the kernel lists them."""
        probe_ports = self._prober.own
        ports = [self._port, *(int(address.rpartition(":")[2]) for address in self._others.values())]
        opened = [
            connection for port in ports for connection in connections(port, at) if connection.peer not in probe_ports
        ]
        return Traffic(
            {connection.peer: (connection.received, connection.sent) for connection in opened},
            {connection.peer: connection.unanswered for connection in opened if connection.unanswered is not None},
            accepted,
        )


@asynccontextmanager
async def _together(scopes: Iterable[Scope[None]]) -> AsyncIterator[None]:
    async with AsyncExitStack() as together:
        for scope in scopes:
            await together.enter_async_context(scope)
        yield
