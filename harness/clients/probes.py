"""The harness's own requests through a proxy: one each, on a connection of its own; never raising."""

from __future__ import annotations

import asyncio
import struct
import time
from typing import TYPE_CHECKING

from harness.clients.exchange import dial, exchange
from harness.stack import Probe

if TYPE_CHECKING:
    from collections.abc import Callable

_API_VERSIONS = struct.pack(">hhih", 18, 0, 1, -1)
"""A whole request: API key 18 version 0, correlation id 1, no client id."""


_LINGER = 5.0
"""Seconds that a port stays known as the harness's own: the proxy may close its side of a connection later."""


class Prober:
    """Asks one address; ``own`` are the local ports of its requests, for the traffic to leave out."""

    def __init__(self, address: str, kind: str, path: str = "/") -> None:
        self._address = address
        self._ask = {"redis": self._redis, "kafka": self._kafka}.get(kind, self._http)
        self._path = path
        self._ports: dict[int, float] = {}

    @property
    def own(self) -> frozenset[int]:
        """Local ports of requests under way or just over."""
        now = time.monotonic()
        self._ports = {port: until for port, until in self._ports.items() if until > now}
        return frozenset(self._ports)

    async def probe(self, timeout: float) -> Probe:
        """One request; ``answered`` if a whole, well-formed answer came within ``timeout`` seconds."""
        begun = time.monotonic()
        def connected(port: int) -> None:
            self._ports[port] = begun + timeout + _LINGER

        error = ""
        try:
            await self._ask(timeout, connected)
        except TimeoutError:
            error = f"no answer within {timeout:g} s"
        except (OSError, EOFError) as problem:
            error = f"{type(problem).__name__}: {problem}"
        return Probe(not error, time.monotonic() - begun, error)

    async def _http(self, timeout: float, connected: Callable[[int], None]) -> None:
        await exchange(self._address, "GET", self._path, timeout=timeout, on_connect=connected)

    async def _redis(self, timeout: float, connected: Callable[[int], None]) -> None:
        async with asyncio.timeout(timeout), dial(self._address, connected) as (reader, writer):
            writer.write(b"PING\r\n")
            answer = await reader.readuntil(b"\r\n")
            if answer != b"+PONG\r\n":
                message = f"PING was answered {answer[:60]!r}"
                raise ConnectionError(message)

    async def _kafka(self, timeout: float, connected: Callable[[int], None]) -> None:
        async with asyncio.timeout(timeout), dial(self._address, connected) as (reader, writer):
            writer.write(struct.pack(">i", len(_API_VERSIONS)) + _API_VERSIONS)
            (length,) = struct.unpack(">i", await reader.readexactly(4))
            _, error = struct.unpack_from(">ih", await reader.readexactly(length))
            if error:
                message = f"ApiVersions was answered with error {error}"
                raise ConnectionError(message)
