"""The connection from one replica to one dependency, through a proxy in somebody else's Toxiproxy."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from harness.stack import Traffic
from harness.stacks.link import ProxiedLink


class ExternalLink(ProxiedLink):
    """Implements ``harness.stack.Link``.

    Traffic is read from the kernel, so it is seen only where the proxy listens on this machine. Where it does not, no
    connection is ever seen, and a fault whose bite shows in connections never bites: the verdict is unknown.
    """

    def __init__(self, service: str, dependency: str, **joined: Any) -> None:  # noqa: ANN401 - as its base's
        super().__init__(service, dependency, **joined)
        self._here = _of_this_machine(self._host)
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

    async def traffic(self) -> Traffic:
        """The service's own connections; none where they cannot be seen. How many came and went is not known here."""
        return self._open(self._at) if self._here else Traffic({})


def _of_this_machine(host: str) -> bool:
    """Whether the host is an address of this machine's: only such a one can be bound to."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
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
