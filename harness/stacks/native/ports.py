"""Loopback ports for servers, below the ephemeral range and never given to two stacks at once."""

from __future__ import annotations

import errno
import socket

from harness.errors import StackError

LOWEST, HIGHEST = 20000, 32767
"""Below 32768: while a server is down, its port in the ephemeral range could be taken, or connect to itself."""


class Ports:
    """One stack's ports, each reserved until ``close`` by a name in Linux's abstract socket namespace.

    Such a name has exactly a port's scope (the network namespace, whatever the user or temporary folder), and the
    kernel frees it when the process dies.
    """

    def __init__(self, lowest: int = LOWEST, highest: int = HIGHEST) -> None:
        self._range = range(lowest, highest + 1)
        self._held: dict[int, socket.socket] = {}

    def take(self) -> int:
        """Reserve a port that nobody listens on and no other stack holds; raises StackError if there is none."""
        for port in self._range:
            # Reserve first: probing a port binds it for a moment, in which another stack's server may need it.
            if port in self._held or (held := _hold(port)) is None:
                continue
            if _free(port):
                self._held[port] = held
                return port
            held.close()
        raise StackError(f"no free port from {self._range[0]} to {self._range[-1]}; stop some servers there")

    def close(self) -> None:
        """Release every port."""
        for held in self._held.values():
            held.close()
        self._held.clear()


def _hold(port: int) -> socket.socket | None:
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0oneffect-port-{port}")
    except OSError as error:
        name.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return name


def _free(port: int) -> bool:
    with socket.socket() as trial:
        # As servers do: an earlier server's connections in TIME_WAIT must not block the port.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
            trial.listen()
        except OSError:
            return False
        return True
