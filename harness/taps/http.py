"""HTTP/1.1, parsed by h11; bodies stream past and are not kept.

h11 follows a connection as one of its two ends. A tap is neither, so each message gets a parser of its own, which is given
what the one before it left over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import ClassVar, Final

import h11

from harness.taps.message import LONGEST_KEY, Answer, Message, NotUnderstood

_LONGEST_HEAD = 64 * 1024
"""Bytes of a message's head."""

_MOST_UNANSWERED = 1024
"""Requests ahead of their responses; a client that pipelines more is not followed."""

ERRORS: Final = {
    "500": "Internal Server Error",
    "502": "Bad Gateway",
    "503": "Service Unavailable",
    "429": "Too Many Requests",
}
"""Status -> its phrase."""

_RETRY_AFTER = frozenset({"503", "429"})


class HttpParser:
    """Implements ``harness.taps.message.Parser``."""

    errors: ClassVar[Mapping[str, str]] = ERRORS
    commands: ClassVar[Collection[str]] = ()

    def __init__(self) -> None:
        self._asked: deque[Message] = deque()
        self.requests = Requests(self._asked)
        self.replies = Replies(self._asked)

    def took(self, request: Message) -> None:
        if request in self._asked:
            self._asked.remove(request)

    @classmethod
    def refusable(cls, command: str) -> bool:  # noqa: ARG003 - any is
        return True

    def refusal(self, request: Message, error: str) -> Answer:  # noqa: ARG002 - it answers any
        later = "Retry-After: 1\r\n" if error in _RETRY_AFTER else ""
        reply = f"HTTP/1.1 {error} {ERRORS[error]}\r\nContent-Length: 0\r\n{later}\r\n".encode()
        return lambda: reply


class _Scanner:
    """What both directions share; ``_parser`` makes the parser of the next message."""

    def __init__(self, asked: deque[Message]) -> None:
        self._asked = asked
        """The requests that have no response yet: a response to HEAD has no body."""
        self._at = 0
        self._connection: h11.Connection | None = None
        self._message: Message | None = None
        self._told = False

    @property
    def head(self) -> int | None:
        return self._message.start if self._message is not None and not self._told else None

    def feed(self, data: bytes) -> list[Message]:
        found: list[Message] = []
        self._at += len(data)
        while data:
            if self._connection is None:
                self._connection = self._parser()
                self._message, self._told = Message(self._at - len(data)), False
            try:
                self._connection.receive_data(data)
                data = self._events(self._connection, found)
            except h11.ProtocolError as error:
                raise NotUnderstood(f"not HTTP/1.1: {error}") from error
        return found

    def finish(self) -> list[Message]:
        found: list[Message] = []
        if self._connection is not None and self._told:
            try:
                self._connection.receive_data(b"")
                self._events(self._connection, found)
            except h11.ProtocolError:
                return []
        return found

    def _events(self, connection: h11.Connection, found: list[Message]) -> bytes:
        """Read what is there; return what belongs to the next message."""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                return b""
            if (
                isinstance(event, h11.Request | h11.Response | h11.InformationalResponse)
                and self._message is not None
            ):
                self._tell(event, self._message)
                self._told = True
                found.append(self._message)
            if isinstance(event, h11.InformationalResponse | h11.EndOfMessage):
                return self._end(connection, found)

    def _end(self, connection: h11.Connection, found: list[Message]) -> bytes:
        rest = connection.trailing_data[0]
        if self._message is not None:
            self._message.end = self._at - len(rest)
            if not (found and found[-1] is self._message):
                found.append(self._message)
        self._connection = self._message = None
        return rest

    def _parser(self) -> h11.Connection:
        raise NotImplementedError

    def _tell(self, event: object, message: Message) -> None:
        raise NotImplementedError


class Requests(_Scanner):
    """What the service asks."""

    def _parser(self) -> h11.Connection:
        return h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST_HEAD)

    def _tell(self, event: object, message: Message) -> None:
        if not isinstance(event, h11.Request):
            return
        if len(self._asked) >= _MOST_UNANSWERED:
            raise NotUnderstood(f"{_MOST_UNANSWERED} requests are ahead of their responses")
        message.command = event.method.decode()
        # A query may hold what nobody should keep.
        message.key = event.target.partition(b"?")[0][:LONGEST_KEY].decode(errors="replace")
        self._asked.append(message)


class Replies(_Scanner):
    """What the dependency answers."""

    def _parser(self) -> h11.Connection:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        method = self._asked[0].command if self._asked else "GET"
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "tap")]))
        connection.send(h11.EndOfMessage())
        return connection

    def _tell(self, event: object, message: Message) -> None:
        if isinstance(event, h11.InformationalResponse):
            # Behind a 101 is another protocol, which h11 refuses: the tap is a plain pipe then.
            message.unasked = True
            message.kind = str(event.status_code)
        elif isinstance(event, h11.Response):
            message.kind = str(event.status_code)
            if self._asked:
                self._asked.popleft()
