"""The connection from one replica to one dependency, through a proxy in somebody else's Toxiproxy."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Literal

from harness.clients.sockets import connections
from harness.stack import Probe, Traffic

if TYPE_CHECKING:
    from collections.abc import Collection
    from contextlib import AbstractAsyncContextManager as Scope

    from harness.clients.probes import Prober
    from harness.stacks.toxics import Toxics


class ExternalLink:
    """Implements ``harness.stack.Link``.

    Traffic is read from the kernel, so it is seen only where the proxy listens on this machine. Where it does not, no
    connection is ever seen, and a fault whose bite shows in connections never bites: the verdict is unknown.
    """

    def __init__(  # noqa: PLR0913 - what a link joins
        self, service: str, dependency: str, *, toxics: Toxics, proxy: str, address: str, api: str, prober: Prober
    ) -> None:
        self.name = f"{service}->{dependency}"
        self.service = service
        self.dependency = dependency
        self.address = address
        self.api = api
        self.proxy = proxy
        self._toxics = toxics
        self._prober = prober
        host, _, port = address.rpartition(":")
        self._here, self._port = _of_this_machine(host), int(port)
        self._at: IPv4Address | IPv6Address | None = None

    def listens(self, listen: str) -> None:
        """Where Toxiproxy says that the proxy listens; another one here may have the same port elsewhere."""
        host, _, port = listen.rpartition(":")
        try:
            address = ip_address(host.strip("[]"))
        except ValueError:
            return
        known = int(port) == self._port and not address.is_unspecified
        self._at = address if known else None

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

    async def traffic(self) -> Traffic:
        """The service's own connections; none where they cannot be seen. How many came and went is not known here."""
        if not self._here:
            return Traffic({})
        own = self._prober.own
        theirs = [one for one in connections(self._port, self._at) if one.peer not in own]
        return Traffic(
            {one.peer: (one.received, one.sent) for one in theirs},
            {one.peer: one.unanswered for one in theirs if one.unanswered is not None},
        )


def _of_this_machine(host: str) -> bool:
    """Whether the host is an address of this machine's: only such a one can be bound to."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(_can_be_bound(family, address) for family, _, _, _, address in found)


def _can_be_bound(family: int, address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> bool:
    with socket.socket(family) as trial:
        try:
            trial.bind(address)
        except OSError:
            return False
    return True
