"""One HTTP/1.1 request on its own connection: no pool, no redirects, no reference to an event loop."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@dataclass(frozen=True, slots=True)
class Reply:
    """The status and body of an answer."""

    status: int
    body: bytes


async def exchange(  # noqa: PLR0913 - the parts of a request
    address: str,
    method: str,
    path: str,
    *,
    body: bytes | None = None,
    timeout: float,
    on_connect: Callable[[int], None] = lambda _port: None,
) -> Reply:
    """Send one request to ``address`` (host:port) and return the answer.

    Calls ``on_connect`` with the local port before connecting. Raises OSError, EOFError, ValueError or TimeoutError if
    no answer came.
    """
    async with asyncio.timeout(timeout), dial(address, on_connect) as (reader, writer):
        head = [f"{method} {path} HTTP/1.1", f"Host: {address}", "Connection: close", "User-Agent: oneffect"]
        if body is not None:
            head += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
        writer.write("\r\n".join([*head, "", ""]).encode() + (body or b""))
        await writer.drain()
        return await _reply(reader)


@asynccontextmanager
async def dial(
    address: str, on_connect: Callable[[int], None] = lambda _port: None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to ``address`` (an IPv4 host:port), after calling ``on_connect`` with the local port.

    Before connecting, because whoever lists the peer's connections must know at once which are the harness's.
    """
    host, _, port = address.rpartition(":")
    connection = socket.socket()
    try:
        connection.settimeout(0)
        connection.bind(("", 0))
        on_connect(connection.getsockname()[1])
        await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
        reader, writer = await asyncio.open_connection(sock=connection)
    except BaseException:
        connection.close()
        raise
    try:
        yield reader, writer
    finally:
        # abort, not close: a proxy that stalls the peer must not keep this end waiting.
        writer.transport.abort()


async def _reply(reader: asyncio.StreamReader) -> Reply:
    """Read one whole answer by its framing: not every server honours ``Connection: close``."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:  # neither an OSError nor a ValueError
        raise ConnectionError(f"no HTTP answer: its headers do not end: {error}") from error
    start, *lines = head.decode("latin-1").rstrip().split("\r\n")
    words = start.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():  # noqa: PLR2004 - two words
        raise ConnectionError(f"no HTTP answer: it begins with {start[:60]!r}")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "chunked" in headers.get("transfer-encoding", ""):
        return Reply(int(words[1]), await _chunks(reader))
    if (length := headers.get("content-length", "")).isdigit():
        return Reply(int(words[1]), await reader.readexactly(int(length)))
    return Reply(int(words[1]), b"" if words[1] == "204" else await reader.read())


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    return body
