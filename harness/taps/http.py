"""HTTP/1.1, parsed by h11; bodies stream past and are not kept.

h11 acts as one end of a connection. A tap is neither end, so each message gets its own parser, which starts with the
bytes that the previous one left over.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, Final

import h11

from harness.taps.message import LONGEST_KEY, Answer, Message, NotUnderstood, Place
from harness.taps.spans import Spans

_LONGEST_HEAD = 64 * 1024
"""Longest head of a message, in bytes."""

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

    single: ClassVar[str] = ""
    errors: ClassVar[Mapping[str, str]] = ERRORS
    after: ClassVar[Collection[str]] = ERRORS.keys() - {"429"}
    only_after: ClassVar[Collection[str]] = ()
    final: ClassVar[Collection[str]] = ()
    commands: ClassVar[Collection[str]] = ()

    def __init__(self) -> None:
        self._asked: deque[Message] = deque()
        self.requests = Requests(self._asked)
        self.replies = Replies(self._asked)

    def took(self, request: Message) -> None:
        if request in self._asked:
            self._asked.remove(request)

    def repeatable(self, request: Message) -> None:
        """Accept any request."""

    def again(self, request: Message) -> Message:
        second = Message(request.start, request.command, request.key)
        self._asked.insert(next((at for at, one in enumerate(self._asked, 1) if one is request), 0), second)
        return second

    def appended(self, sent: bytes, first: Message, second: Message) -> Sequence[Place]:  # noqa: ARG002 - no records
        return ()

    @classmethod
    def refusable(cls, command: str) -> bool:  # noqa: ARG003 - any is
        return True

    def instead(self, request: Message) -> bytes:  # noqa: ARG002 - a connection has no state
        return b""

    def refusal(self, request: Message, error: str) -> Answer:  # noqa: ARG002 - it answers any
        later = "Retry-After: 1\r\n" if error in _RETRY_AFTER else ""
        reply = f"HTTP/1.1 {error} {ERRORS[error]}\r\nContent-Length: 0\r\n{later}\r\n".encode()
        return lambda: reply


class _Scanner(Spans):
    """What both directions share; ``_parser`` makes the parser of the next message, ``_learn`` reads its beginning."""

    def __init__(self, asked: deque[Message]) -> None:
        super().__init__()
        self._asked = asked
        """The requests that have no response yet: a response to HEAD has no body."""
        self._connection: h11.Connection | None = None

    def finish(self) -> list[Message]:
        self._found = []
        if self._connection is not None and self._told:
            try:
                self._connection.receive_data(b"")
                self._events(self._connection, self._at)
            except h11.ProtocolError:
                return []
        return self._found

    def _scan(self, data: bytes) -> None:
        behind = self._at + len(data)
        while data:
            if self._connection is None:
                self._connection = self._parser()
                self._begin(behind - len(data))
            try:
                self._connection.receive_data(data)
                data = self._events(self._connection, behind)
            except h11.ProtocolError as error:
                raise NotUnderstood(f"not HTTP/1.1: {error}") from error

    def _events(self, connection: h11.Connection, behind: int) -> bytes:
        """Read the bytes, which end at offset ``behind``; return those of the next message."""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                return b""
            if event is h11.PAUSED:  # for ever: h11 leaves what follows a tunnel's beginning to others
                raise NotUnderstood("another protocol begins, which passes as it is")
            if (
                isinstance(event, h11.Request | h11.Response | h11.InformationalResponse)
                and self._message is not None
            ):
                self._learn(event, self._message)
                self._tell()
            if isinstance(event, h11.InformationalResponse | h11.EndOfMessage):
                rest = connection.trailing_data[0]
                self._end(behind - len(rest))
                self._connection = None
                return rest

    @abstractmethod
    def _parser(self) -> h11.Connection: ...

    @abstractmethod
    def _learn(self, event: object, message: Message) -> None: ...


class Requests(_Scanner):
    """Scans the service's requests."""

    def _parser(self) -> h11.Connection:
        return h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST_HEAD)

    def _learn(self, event: object, message: Message) -> None:
        if not isinstance(event, h11.Request):
            return
        if len(self._asked) >= _MOST_UNANSWERED:
            raise NotUnderstood(f"{_MOST_UNANSWERED} requests are ahead of their responses")
        message.command = event.method.decode()
        # The query may hold secrets.
        message.key = event.target.partition(b"?")[0][:LONGEST_KEY].decode(errors="replace")
        self._asked.append(message)


class Replies(_Scanner):
    """Scans the dependency's responses."""

    def _parser(self) -> h11.Connection:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        method = self._asked[0].command if self._asked else "GET"
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "tap")]))
        connection.send(h11.EndOfMessage())
        return connection

    def _learn(self, event: object, message: Message) -> None:
        if isinstance(event, h11.InformationalResponse):
            # After a 101 comes another protocol, which h11 refuses: the tap then becomes a plain pipe.
            message.unasked = message.interim = True
            message.kind = str(event.status_code)
        elif isinstance(event, h11.Response):
            message.kind = str(event.status_code)
            if self._asked:
                self._asked.popleft()
