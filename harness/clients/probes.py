"""The harness's own requests through a proxy, each on its own connection; they report failures and never raise.

A tap tells them by the first bytes that they send (``harness.taps.probes``), so that no fault acts at them.
"""

from __future__ import annotations

import asyncio
import struct
import time
from typing import TYPE_CHECKING

from harness.clients.exchange import dial, exchange
from harness.clients.login import Login, redis_login
from harness.dependency import Ping, octets
from harness.stack import Probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.system import System

    Connected = Callable[[int], None]

_API_VERSIONS = struct.pack(">hhih8s", 18, 0, 1, 8, b"oneffect")
"""An ApiVersions request: API key 18, version 0, correlation id 1, client id."""

_STARTUP = b"\0\3\0\0user\0oneffect\0database\0postgres\0application_name\0oneffect probe\0\0"
"""Postgres's startup message, protocol version 3.0, with user, database and the client's name."""

LOGIN = "write its password as requirepass under its config, or under logins in the addresses file"
"""What to do about a Redis that asks for a password."""

_NOT_LET_IN = ("28000", "28P01", "3D000")
"""SQLSTATEs for a user or database that is unknown or refused; a server that is starting sends others."""

_LONGEST_ANSWER = 1 << 20
"""Bytes within which the answer to a ping must appear."""

_SUCCESS = 2
"""The first digit of an HTTP status."""

_LINGER = 5.0
"""Seconds that a port still counts as the harness's own: the proxy may close its side of a connection later."""


class Prober:
    """Probes one address; ``own`` has the local ports of its requests, which do not count as the service's traffic.

    ``path`` is the HTTP path to GET, ``login`` the login at a Redis, ``ping`` how to ask a server of kind tcp.
    """

    def __init__(
        self, address: str, kind: str, path: str = "/", *, login: Login | None = None, ping: Ping | None = None
    ) -> None:
        self._address = address
        self._login = login
        self._ping = ping
        asks = {"redis": self._redis, "kafka": self._kafka, "postgres": self._postgres, "tcp": self._tcp}
        self._ask = asks.get(kind, self._http)
        self._path = path
        self._ports: dict[int, float] = {}
        self.used: set[int] = set()
        """Local ports of its requests; whoever accounts for a port discards it."""

    @property
    def own(self) -> frozenset[int]:
        """Local ports of requests in progress or just ended."""
        now = time.monotonic()
        self._ports = {port: until for port, until in self._ports.items() if until > now}
        return frozenset(self._ports)

    async def probe(self, timeout: float, size: int = 0) -> Probe:
        """Send requests, at least one, until ``size`` bytes of answers arrived; ``answered`` if they did in time."""
        begun = time.monotonic()

        def connected(port: int) -> None:
            self._ports[port] = begun + timeout + _LINGER
            self.used.add(port)

        error = ""
        try:
            async with asyncio.timeout(timeout):
                await self._ask(size, connected)
        except TimeoutError:
            error = f"no answer within {timeout:g} s"
        except (OSError, EOFError, ValueError) as problem:
            error = f"{type(problem).__name__}: {problem}"
        return Probe(not error, time.monotonic() - begun, error)

    async def answers(self, timeout: float) -> bool:
        """Whether the target answers."""
        return (await self.probe(timeout)).answered

    async def _http(self, size: int, connected: Connected) -> None:
        if not size:
            await exchange(self._address, "GET", self._path, timeout=60, on_connect=connected)
            return
        request = f"GET {self._path} HTTP/1.1\r\nHost: {self._address}\r\nUser-Agent: oneffect\r\n\r\n".encode()
        received = 0
        while received < size:
            # Reuse a connection for as long as the server allows: a throttle applies to each connection separately.
            async with dial(self._address, connected) as (reader, writer):
                writer.write(request)
                while received < size and (answer := await reader.read(1 << 16)):
                    received += len(answer)
                    writer.write(request)

    async def _redis(self, size: int, connected: Connected) -> None:
        async with dial(self._address, connected) as (reader, writer):
            if self._login is not None:
                # Before the login, which could be the service's own, something by which a tap tells a probe.
                writer.write(_ping(b"oneffect"))
                if (await reader.readline()).startswith(b"$"):
                    await reader.readline()
                writer.write(self._login.request())
                if (head := await reader.readline()) != b"+OK\r\n":
                    raise ConnectionError(f"the answer to AUTH was {head[:100]!r}")
            word = b"oneffect".ljust(size, b"x")
            writer.write(_ping(word))
            if (head := await reader.readline()) != b"$%d\r\n" % len(word):
                hint = f"; {LOGIN}" if head.startswith(b"-NOAUTH") else ""
                raise ConnectionError(f"the answer to PING was {head[:60]!r}{hint}")
            await reader.readexactly(len(word) + 2)

    async def _kafka(self, size: int, connected: Connected) -> None:
        async with dial(self._address, connected) as (reader, writer):
            received = 0
            while received <= size:
                writer.write(struct.pack(">i", len(_API_VERSIONS)) + _API_VERSIONS)
                (length,) = struct.unpack(">i", await reader.readexactly(4))
                _, error = struct.unpack_from(">ih", await reader.readexactly(length))
                if error:
                    raise ConnectionError(f"the answer to ApiVersions was error {error}")
                received += length

    async def _postgres(self, size: int, connected: Connected) -> None:
        async with dial(self._address, connected) as (reader, writer):
            writer.write(struct.pack(">i", len(_STARTUP) + 4) + _STARTUP)
            first = await _message(reader)
            if not size and _asks_who(*first):
                return
            await _until_ready(reader, first)
            if size:
                query = b"SELECT repeat('x', %d)\0" % size
                writer.write(b"Q" + struct.pack(">i", len(query) + 4) + query)
                await _until_ready(reader)

    async def _tcp(self, size: int, connected: Connected) -> None:
        if self._ping is None:
            raise ValueError("nothing says how to ask it")
        asked, answer = octets(self._ping.send), octets(self._ping.answer)
        received = 0
        while received <= size:
            async with dial(self._address, connected) as (reader, writer):
                # A server that speaks first does so once per connection.
                while received <= size:
                    writer.write(asked)
                    received += await _until_there(reader, answer)
                    if not asked:
                        break


def _ping(word: bytes) -> bytes:
    """Encode Redis's PING, which is answered with ``word``."""
    return b"*2\r\n$4\r\nPING\r\n$%d\r\n%b\r\n" % (len(word), word)


async def readiness(address: str, path: str, timeout: float) -> Probe:
    """Ask a service once whether it is ready; only 2xx counts as an answer."""
    begun = time.monotonic()
    try:
        reply = await exchange(address, "GET", path, timeout=timeout)
        error = "" if reply.status // 100 == _SUCCESS else f"the answer was {reply.status}"
    except TimeoutError:
        error = f"no answer within {timeout:g} s"
    except (OSError, EOFError, ValueError) as problem:
        error = f"{type(problem).__name__}: {problem}"
    return Probe(not error, time.monotonic() - begun, error)


def prober_of(system: System, target: str, address: str) -> Prober:
    """Return a prober for ``address`` that speaks the protocol of the dependency or service ``target``."""
    if target in system.services:
        return Prober(address, "http", system.services[target].path)
    kind = system.kind(target)
    dependency = system.dependencies[target]
    login = redis_login(dependency.config) if kind == "redis" else None
    return Prober(address, kind, login=login, ping=dependency.ping)


async def _until_there(reader: asyncio.StreamReader, answer: bytes) -> int:
    """Read until the answer has come, and return how many bytes came; EOFError or ConnectionError if it does not."""
    received = b""
    while answer not in received:
        if not (data := await reader.read(1 << 16)):
            raise EOFError(f"the connection ended behind {received[:60]!r}, without {answer[:60]!r}")
        received += data
        if len(received) > _LONGEST_ANSWER:
            raise ConnectionError(f"{_LONGEST_ANSWER} bytes came without {answer[:60]!r}: {received[:60]!r} …")
    return len(received)


async def _until_ready(reader: asyncio.StreamReader, first: tuple[bytes, bytes] | None = None) -> None:
    """Read Postgres's messages up to ReadyForQuery, of which one was read; raises ConnectionError on an error message."""
    kind, body = first or await _message(reader)
    while kind != b"Z":
        if kind == b"E":
            raise ConnectionError(f"Postgres answered with the error {body[:200]!r}")
        kind, body = await _message(reader)


def _asks_who(kind: bytes, body: bytes) -> bool:
    """Whether Postgres serves, but wants a login that the harness does not have: it asks for one, or knows no such user."""
    return (kind == b"R" and body[:4] != bytes(4)) or (
        kind == b"E" and any(f"C{code}\0".encode() in body for code in _NOT_LET_IN)
    )


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one of Postgres's messages: its kind and its body."""
    kind, length = struct.unpack(">ci", await reader.readexactly(5))
    return kind, await reader.readexactly(length - 4)
