"""The listener of one tapped link."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from harness.taps import parser_type
from harness.taps.connection import CHUNK, Connection
from harness.taps.message import Message, Naming, Parser, Rerouting
from harness.taps.names import Names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.history.recorder import Recorder
    from harness.stack import RunNames
    from harness.taps.exchange import Exchange
    from harness.taps.trigger import Trigger

_CONNECTING = 10.0
"""Seconds that the dependency may take to accept."""

_MOST_FAILURES = 100
"""Distinct failures recorded per tap, since a client may retry for ever."""


def _pair(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class Tap:
    """A proxy on one link, from ``listen`` to ``upstream`` (host:port); lives in the taps' own loop.

    Other addresses (``others``) lead to other upstreams, where a link leads to several brokers.
    With ``routes`` (host:port that a dependency may advertise -> host:port that leads there through the link) replies
    get the latter addresses, and bytes that cannot be parsed end their connection: they might lead a client past the
    link. A ``quiet`` tap does not record what passes. The harness's own probes are neither held nor recorded.
    """

    def __init__(  # noqa: PLR0913 - what a tap consists of
        self,
        name: str,
        protocol: str,
        listen: str,
        upstream: str,
        recorder: Recorder,
        *,
        run: RunNames | None = None,
        others: Mapping[str, str] | None = None,
        routes: Mapping[str, str] | None = None,
        quiet: bool = False,
    ) -> None:
        self.name = name
        self._listen, self._upstream, self._others = listen, upstream, others or {}
        self._recorder = recorder
        self._actor = f"tap:{name}"
        self._parser_type = parser_type(protocol)
        self._names = Names(run)
        self._routes = None if routes is None else {_pair(one): _pair(to) for one, to in routes.items()}
        self._quiet = quiet
        self._failures: set[str] = set()
        self.triggers: tuple[Trigger, ...] = ()
        """Replaced as a whole, from the run's thread."""
        self.plain = False
        """Whether it has given up parsing, and only passes bytes on."""
        self.now = recorder.now
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._serving: set[Connection] = set()
        self._letting_go: set[asyncio.Task[None]] = set()
        self._count = 0
        self.probes: set[int] = set()
        """The numbers of those connections that are the harness's own."""

    def parser(self) -> Parser:
        """Return a parser for one connection."""
        made = self._parser_type()
        if isinstance(made, Naming):
            made.names = self._names
        if self._routes is not None:
            if not isinstance(made, Rerouting):
                raise TypeError(f"{self.name}: replies of this protocol name no addresses")
            made.reroute(self._routes)
        return made

    async def open(self) -> None:
        """Listen; OSError if a port is taken."""
        try:
            for listen in (self._listen, *self._others):
                accepted = partial(self._accepted, listen)
                self._servers.append(await asyncio.start_server(accepted, *_pair(listen), limit=CHUNK))
        except OSError:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop listening, and end every connection."""
        for server in self._servers:
            server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, *self._letting_go, return_exceptions=True)

    def let_go(self) -> None:
        """Pass on what waited for a trigger that is gone; called in the taps' loop."""
        for connection in self._serving:
            task = asyncio.create_task(connection.let_go())
            self._letting_go.add(task)
            task.add_done_callback(self._letting_go.discard)

    def give_up(self, reason: Exception) -> None:
        """Become a plain pipe, and record it once; with ``routes``, raise the reason: clients could leave the link."""
        if self._routes is not None:
            raise reason
        if not self.plain:
            self.plain = True
            self._recorder.record(
                "wire", "plain", self._actor, link=self.name, error=f"{type(reason).__name__}: {reason}"
            )

    def failed(self, error: BaseException) -> None:
        """Record, once per error, that the tap's own failure or unreadable bytes ended a connection."""
        said = f"{type(error).__name__}: {error}"
        if said not in self._failures and len(self._failures) < _MOST_FAILURES:
            self._failures.add(said)
            self._recorder.record("wire", "failed", self._actor, link=self.name, error=said)

    def note(self, phase: str, connection: int, exchange: Exchange, reply: Message | None) -> None:
        """Record an exchange that is over."""
        if self._quiet or connection in self.probes:
            return
        request = exchange.request
        self._recorder.record(
            "wire",
            phase,
            self._actor,
            t_begin=exchange.begun,
            link=self.name,
            connection=connection,
            command=request.command,
            key=request.key or None,
            options=request.options or None,
            size=request.size or None,
            kind=(reply.kind or None) if reply is not None else None,
            reply_size=reply.size if reply is not None and reply.end is not None else None,
            changed=reply.number if reply is not None and request.counts else None,
            # A commit of nothing has an empty list; none tells that nobody knows what was committed.
            places=request.places if request.places is not None or reply is None else reply.places,
        )

    async def _accepted(self, listen: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        self._count += 1
        number = self._count
        try:
            async with asyncio.timeout(_CONNECTING):
                upstream = _pair(self._others.get(listen, self._upstream))
                server = await asyncio.open_connection(*upstream, limit=CHUNK)
            connection = Connection(self, number, (reader, writer), server)
            self._serving.add(connection)
            try:
                await connection.serve()
            finally:
                self._serving.discard(connection)
                self.probes.discard(number)
        except (OSError, TimeoutError, asyncio.CancelledError):
            # The service's proxy has accepted already, as it would have without a tap.
            writer.transport.abort()
        except Exception as error:  # noqa: BLE001 - whatever it is, no fault did it to the system
            self.failed(error)
            writer.transport.abort()
