"""The connection from one replica to one dependency, through a proxy in the user's Toxiproxy."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from harness.stack import Traffic
from harness.stacks.link import ProxiedLink


class ExternalLink(ProxiedLink):
    """Implements ``harness.stack.Link``.

    Traffic is read from the kernel, so it is visible only if the proxy listens on this machine. If the proxy is
    elsewhere, a fault whose bite shows in connections is never seen to bite, and the verdict is unknown.
    """

    def __init__(self, service: str, dependency: str, **joined: Any) -> None:  # noqa: ANN401 - as its base's
        super().__init__(service, dependency, **joined)
        self._here = _of_this_machine(self._host)
        self._at: IPv4Address | IPv6Address | None = None

    def listens(self, listen: str) -> None:
        """Note the listen address that Toxiproxy reports: another local address may use the same port."""
        host, _, port = listen.rpartition(":")
        try:
            address = ip_address(host.strip("[]"))
        except ValueError:
            return
        is_specific = int(port) == self._port and not address.is_unspecified
        self._at = address if is_specific else None

    async def traffic(self) -> Traffic:
        """Return the service's open connections, none if the proxy is elsewhere; ``accepted`` is not known here."""
        return self._open(self._at) if self._here else Traffic({})


def _of_this_machine(host: str) -> bool:
    """Whether the host is an address of this machine: only those can be bound to."""
    try:
        candidates = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(_can_be_bound(family, address) for family, _, _, _, address in candidates)


def _can_be_bound(family: int, address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> bool:
    with socket.socket(family) as trial:
        try:
            trial.bind(address)
        except OSError:
            return False
    return True
