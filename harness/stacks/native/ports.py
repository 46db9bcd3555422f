"""Ports for servers: below the ephemeral range, on loopback, never given to two stacks at once."""

from __future__ import annotations

import errno
import socket

from harness.errors import StackError

LOWEST, HIGHEST = 20000, 32767
"""Below 32768: a freed port in the ephemeral range can be taken, or connect to itself, while its server is down."""


class Ports:
    """One stack's ports. Each is held by a name in Linux's abstract socket namespace until ``close``.

    Such a name has just the reach of a port (one network namespace, every user and temporary folder), and the
    kernel frees it when its process dies.
    """

    def __init__(self, lowest: int = LOWEST, highest: int = HIGHEST) -> None:
        self._range = range(lowest, highest + 1)
        self._held: dict[int, socket.socket] = {}

    def take(self) -> int:
        """A port that nobody listens on and no other stack holds; StackError if there is none."""
        for port in self._range:
            if port in self._held or not _free(port):
                continue
            if (held := _hold(port)) is not None:
                self._held[port] = held
                return port
        raise StackError(f"no free port from {self._range[0]} to {self._range[-1]}; end some servers there")

    def close(self) -> None:
        """Let go of every port."""
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
        # As servers do: a connection that lingers from an earlier server is no obstacle.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
            trial.listen()
        except OSError:
            return False
        return True
