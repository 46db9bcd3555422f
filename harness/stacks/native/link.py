"""The connection from one replica to one dependency or service, through its own proxy."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal

from harness.clients.sockets import connections
from harness.stack import Probe, Traffic

if TYPE_CHECKING:
    from collections.abc import Collection
    from contextlib import AbstractAsyncContextManager as Scope

    from harness.clients.probes import Prober
    from harness.stacks.native.toxiproxy import Toxiproxy


class NativeLink:
    """Implements ``harness.stack.Link``. ``prober`` asks at ``address``."""

    def __init__(self, service: str, dependency: str, *, toxiproxy: Toxiproxy, address: str, prober: Prober) -> None:
        self.name = f"{service}->{dependency}"
        self.service = service
        self.dependency = dependency
        self.address = address
        """host:port of the proxy."""
        self.api = toxiproxy.address
        """host:port of the API of the Toxiproxy that it is in."""
        self._toxiproxy = toxiproxy
        self._prober = prober
        host, _, port = address.rpartition(":")
        self._at, self._port = ip_address(host), int(port)
        self._accepted = 0

    def disturb(
        self, toxic: str, *, stream: Literal["upstream", "downstream"] = "downstream", **attributes: int
    ) -> Scope[None]:
        """A toxic on this link while the scope lasts."""
        return self._toxiproxy.toxics.toxic(self.name, toxic, stream, attributes)

    def refuse(self) -> Scope[None]:
        """The proxy is off while the scope lasts."""
        return self._toxiproxy.toxics.refusing(self.name)

    async def toxics(self) -> Collection[str]:
        """Types of the toxics that the proxy says are on it now; ``down`` if it says that it is off."""
        return await self._toxiproxy.toxics.types(self.name)

    async def probe(self, timeout: float, size: int = 0) -> Probe:
        """Requests of the harness's own through the proxy, until the answers make up ``size`` bytes."""
        return await self._prober.probe(timeout, size)

    def begin(self) -> None:
        """Other services start: what was accepted before was not theirs."""
        self._toxiproxy.accepted(self.name)
        self._prober.used.clear()
        self._accepted = 0

    async def traffic(self) -> Traffic:
        """The service's own connections to the proxy that are open at both ends."""
        own = self._prober.own
        for client in self._toxiproxy.accepted(self.name):
            if client in self._prober.used:
                self._prober.used.discard(client)
            else:
                self._accepted += 1
        theirs = [connection for connection in connections(self._port, self._at) if connection.peer not in own]
        return Traffic(
            {connection.peer: (connection.received, connection.sent) for connection in theirs},
            {connection.peer: connection.unanswered for connection in theirs if connection.unanswered is not None},
            self._accepted,
        )
