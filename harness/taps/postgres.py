"""Postgres' protocol, version 3; see https://www.postgresql.org/docs/current/protocol.html.

A request is what the server answers with one ReadyForQuery: a simple query, or all messages of an extended one up to its Sync.
Its command is the first word of the first statement that it executes, leaving out what only leads up to one, such as a BEGIN;
its key is the table, and of a COMMIT the tables that its transaction wrote to. One that executes none is a ``Parse`` or a
``Sync``.
Nothing else of a statement is kept, since it may hold values.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar, Final, NamedTuple

from harness.errors import FaultError
from harness.taps.message import LONGEST_KEY, Answer, Message, NotUnderstood, Place
from harness.taps.postgres_syncs import Syncs
from harness.taps.spans import Spans

_TEXT = 4096
"""Bytes of a statement that are read; a table named after them stays unknown."""

_LONGEST = 2**30
"""Bytes of one of the protocol's messages, as the server itself allows."""

_LONGEST_START = 10_000
"""Bytes of a startup packet, as the server itself allows."""

_MOST_STATEMENTS = 4096
"""Prepared statements remembered per connection; the oldest is forgotten, and its command is then ``?``."""

_MOST_TABLES = 16

_NO_TLS: Final = {80877103: "SSLRequest", 80877104: "GSSENCRequest"}
"""Codes sent in place of a protocol version; the server answers with one byte."""

_BEFORE: Final = frozenset({*_NO_TLS.values(), "StartupMessage"})
"""Requests before which no server takes a statement."""

_OPEN: Final = frozenset({b"T", b"E"})
"""What ReadyForQuery says within a transaction, and within one that failed."""

_ROLLBACK: Final = b"ROLLBACK\0"
_FAILS: Final = b"refused by oneffect\0"
"""No statement of SQL, so that the server fails the open transaction at it, if there is one."""

_CANCEL = 80877102
_VERSION = 3
_LENGTH, _TYPED = 4, 5
"""Bytes of a length, and of a type with its length."""

_LONGEST_TAG = 32
_SQLSTATE = 5
_EXTENDED = frozenset(b"PBDECH")
_COPIES = frozenset(b"dcf")
_ALONE: Final = {ord("F"): "FunctionCall", ord("X"): "Terminate", ord("p"): "password"}
_UNASKED = frozenset(b"NAS")
"""Notices, notifications and settings, which may come at any time."""

_EMPTY_HANDED = frozenset(b"123tTnG")
"""Replies that precede a statement's own: parsed, bound, closed, described, no data, ready for a COPY's data."""

_READS = frozenset({"SELECT", "WITH", "TRUNCATE"})
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "COPY"})
_COMMITS = frozenset({"COMMIT", "END"})
_BEGINS = frozenset({"BEGIN", "START", "ROLLBACK", "ABORT"})
_LEADS = frozenset({"BEGIN", "START", "SAVEPOINT", "RELEASE", "SET"})
"""Statements that drivers send in one request with the statement that they are for."""

_TABLE = r'\s+(?:ONLY\s+)?([\w."$]+)'
_WRITTEN = re.compile(
    rf"(?:\bINSERT\s+INTO|\bMERGE\s+INTO|\bDELETE\s+FROM|(?<!FOR)(?<!DO)(?<!KEY)\s+UPDATE|^UPDATE|^COPY){_TABLE}",
    re.IGNORECASE,
)
_READ = re.compile(rf"\b(?:FROM|INTO|TABLE){_TABLE}", re.IGNORECASE)
_SPACE = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?(?:\*/|$)|\()+", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]+")
_TO_SAVEPOINT = re.compile(r"ROLLBACK (?:WORK |TRANSACTION )?TO\b", re.IGNORECASE)
_BEFORE_ANOTHER = re.compile(r"[^;']*;\s*(?=\S)")

ERRORS: Final = {
    "40001": "could not serialize access due to concurrent update",
    "40P01": "deadlock detected",
}
"""SQLSTATE -> the text that Postgres itself gives."""


class _Said(NamedTuple):
    """What is kept of a statement: its first word, the table that it is about, and the tables that it writes to."""

    command: str
    table: str = ""
    written: tuple[str, ...] = ()
    bounds: bool = False
    """Whether it begins or ends a transaction."""


_FLUSH: Final = _Said("Flush")
_SYNC: Final = _Said("Sync")
"""Requests of which only this is known: with what they go on or end, and that they execute no statement."""


class PostgresParser:
    """Implements ``harness.taps.message.Parser``."""

    single: ClassVar[str] = (
        "on its connection it would run in the same transaction, which no repetition on a network does; "
        "duplicate the message that leads to it"
    )
    errors: ClassVar[Mapping[str, str]] = ERRORS
    after: ClassVar[Collection[str]] = ()
    only_after: ClassVar[Collection[str]] = ()
    final: ClassVar[Collection[str]] = ()
    commands: ClassVar[Collection[str]] = ()

    def __init__(self) -> None:
        self._syncs = Syncs()
        self.replies = Replies(self._syncs)
        self.requests = Requests(self._one_byte, self._syncs)

    def _one_byte(self) -> None:
        self.replies.one_byte = True

    def took(self, request: Message) -> None:
        self._syncs.took(request)
        if request.command in _NO_TLS.values():
            self.replies.one_byte = False

    def repeatable(self, request: Message) -> None:
        raise FaultError(f"{request.command}: {self.single}")

    def again(self, request: Message) -> Message:
        raise FaultError(f"{request.command}: {self.single}")

    def appended(self, sent: bytes, first: Message, second: Message) -> Sequence[Place]:  # noqa: ARG002 - no records
        return ()

    @classmethod
    def refusable(cls, command: str) -> bool:  # noqa: ARG003 - any is
        return True

    def instead(self, request: Message) -> bytes:
        """Return what ends or fails the open transaction, as the error would: a refused COMMIT has rolled back."""
        if request.command in _BEFORE:
            return b""
        return _frame(b"Q", _ROLLBACK if request.command in _COMMITS else _FAILS)

    def refusal(self, request: Message, error: str) -> Answer:
        """Return the error, with the transaction's state as the server tells it in its answer to ``instead``."""
        fields = f"SERROR\0VERROR\0C{error}\0M{ERRORS[error]}\0\0".encode()

        def reply() -> bytes:
            return _frame(b"E", fields) + _frame(b"Z", b"E" if request.memo in _OPEN else b"I")

        return reply


class _Frames(Spans):
    """Reads the protocol's own messages, here called frames: a type, a length and a body."""

    def __init__(self, syncs: Syncs) -> None:
        super().__init__()
        self._syncs = syncs
        self._header = b""
        self._type = 0
        self._start = 0
        """Offset of the frame that is being read."""
        self._left = 0
        self._wanted = 0
        self._body = bytearray()
        self._known = True
        """Whether ``_read`` was called for the frame that is being read, or there is none."""
        self._last = False
        """Whether the message ends with the frame that is being read."""

    def _scan(self, data: bytes) -> None:
        at, length = 0, len(data)
        while at < length:
            if not self._left:
                size = self._header_size()
                if not self._header:
                    self._start, self._known = self._at + at, False
                    if self._message is None:
                        self._begin(self._start)
                part = data[at : at + size - len(self._header)]
                self._header += part
                at += len(part)
                if len(self._header) < size:
                    break
                header, self._header, self._body = self._header, b"", bytearray()
                self._type = header[0] if size == _TYPED else 0
                self._left, self._wanted = self._sized(int.from_bytes(header[-_LENGTH:]))
            else:
                taken = min(self._left, length - at)
                if (room := self._wanted - len(self._body)) > 0:
                    self._body += data[at : at + min(taken, room)]
                at += taken
                self._left -= taken
            if not self._known and (not self._left or len(self._body) >= self._wanted):
                self._known = True
                self._read(self._type, bytes(self._body))
            if not self._left:
                self._ended(self._at + at)

    def _ended(self, offset: int) -> None:
        """Handle the end of a frame."""
        if self._last:
            self._last = False
            self._end(offset)

    def _header_size(self) -> int:
        return _TYPED

    def _sized(self, length: int) -> tuple[int, int]:
        """Return how many bytes follow a header, and how many of them are wanted."""
        if not _LENGTH <= length <= _LONGEST:
            raise NotUnderstood(f"{length} is no length of a Postgres message")
        return length - _LENGTH, 0

    @abstractmethod
    def _read(self, kind: int, body: bytes) -> None:
        """Handle a frame once the wanted part of its body has arrived."""


class Requests(_Frames):
    """Scans the service's requests."""

    def __init__(self, one_byte: Callable[[], None], syncs: Syncs) -> None:
        super().__init__(syncs)
        self._one_byte = one_byte
        self._started = False
        self._statements: dict[bytes, _Said] = {}
        self._flushed, self._synced = _FLUSH, _SYNC
        """What names a request if a Flush comes next, and what if a Sync does."""
        self._executed: Message | None = None
        """The last request of which a statement was executed: that one names it."""
        self._written: list[str] = []

    def _header_size(self) -> int:
        return _TYPED if self._started else _LENGTH

    def _sized(self, length: int) -> tuple[int, int]:
        if not self._started:
            if not 2 * _LENGTH <= length <= _LONGEST_START:
                raise NotUnderstood(f"{length} is no length of a startup packet")
            return length - _LENGTH, _LENGTH
        left, _ = super()._sized(length)
        if self._type in b"QPBDC":
            return left, min(left, _TEXT)
        if self._type in _EXTENDED or self._type in _COPIES or self._type in _ALONE or self._type == ord("S"):
            return left, 0
        raise NotUnderstood(f"{bytes([self._type])!r} begins no request of Postgres'")

    def _read(self, kind: int, body: bytes) -> None:
        if kind in _COPIES or kind == ord("H"):
            self._between(kind)
            return
        self._last = kind not in _EXTENDED
        if self._begins() and kind != ord("X") and self._syncs.of_copy(sync=kind == ord("S")):
            self._message = None
        elif not self._started:
            self._startup(int.from_bytes(body))
        elif kind == ord("Q"):
            said = _statement(body.partition(b"\0")[0])
            self._learn(said, executes=True)
            self._track(said)
        elif kind in _ALONE:
            called = kind == ord("F")
            self._learn(_Said(_ALONE[kind]), answered=called, executes=called)
        elif kind in _EXTENDED:
            self._extended(kind, body)
        else:
            self._learn(self._synced, executes=True)
        if self._last:
            self._flushed, self._synced = _FLUSH, _SYNC
            self._syncs.end(self._message, synced=kind == ord("S"))

    def _begins(self) -> bool:
        """Whether nothing stands before the frame in its message that asks for something."""
        return not self._told and self._undecided == self._start

    def _between(self, kind: int) -> None:
        if kind == ord("H"):
            # Behind a Flush the service may wait for what the server says so far, and send nothing more until then.
            if not self._begins():
                self._learn(self._flushed)
        elif self._begins():
            self._message = None  # data, which belongs to the COPY before it
            self._syncs.data()

    def _startup(self, code: int) -> None:
        if code in _NO_TLS:
            self._one_byte()
            self._learn(_Said(_NO_TLS[code]))
        elif code == _CANCEL:
            self._learn(_Said("CancelRequest"), answered=False)
        elif code >> 16 == _VERSION:
            self._started = True
            self._learn(_Said("StartupMessage"))
        else:
            raise NotUnderstood(f"{code} is no version of Postgres' protocol that a tap understands")

    def _extended(self, kind: int, body: bytes) -> None:
        first, _, rest = body.partition(b"\0")
        if kind == ord("P"):
            said = _statement(rest.partition(b"\0")[0])
            self._statements.pop(first, None)
            self._statements[first] = said
            if len(self._statements) > _MOST_STATEMENTS:
                del self._statements[next(iter(self._statements))]
            if self._synced.command not in _LEADS:
                self._flushed, self._synced = said, _Said("Parse", said.table)
        elif kind == ord("B"):
            said = self._statements.get(rest.partition(b"\0")[0], _Said("?"))
            if said.command not in _LEADS:
                self._learn(said, executes=True)
            elif self._synced.command not in _LEADS:
                self._flushed = self._synced = said
            self._track(said)
        elif kind == ord("D") and first[:1] == b"S" and self._synced.command not in _LEADS:
            self._flushed = self._statements.get(first[1:], _FLUSH)

    def _ended(self, offset: int) -> None:
        super()._ended(offset)
        if self._type == ord("H"):
            self._undecided = offset  # at a request's beginning, there is nothing that it could flush

    def _learn(self, said: _Said, *, answered: bool = True, executes: bool = False) -> None:
        """Name the request; what it executes first names it anew, since it may have prepared another statement before."""
        message = self._message
        if message is None or message is self._executed or (self._told and not executes):
            return
        if executes:
            self._executed = message
        table = ",".join(sorted(self._written)) if said.command in _COMMITS else said.table
        message.command, message.key, message.answered = said.command, table[:LONGEST_KEY], answered
        if answered and not self._told:
            self._syncs.ask(message)
        self._tell()

    def _track(self, said: _Said) -> None:
        """Remember which tables the open transaction writes to."""
        if said.bounds:
            self._written = []
        for name in said.written:
            if name not in self._written and len(self._written) < _MOST_TABLES:
                self._written.append(name)


class Replies(_Frames):
    """Scans the server's replies."""

    def __init__(self, syncs: Syncs) -> None:
        super().__init__(syncs)
        self.one_byte = False
        """Whether the next reply is one byte, which says whether TLS follows."""

    def _scan(self, data: bytes) -> None:
        if self.one_byte and data:
            self.one_byte = False
            if data[:1] != b"N":
                raise NotUnderstood("TLS begins, which passes as it is")
            self._begin(self._at).kind = "N"
            self._end(self._at + 1)
            self._syncs.answered(failed=False)
            self._at += 1
            super()._scan(data[1:])
            self._at -= 1
        else:
            super()._scan(data)

    def _sized(self, length: int) -> tuple[int, int]:
        left, _ = super()._sized(length)
        return left, min(left, _TEXT) if self._type in b"ECZ" else 0

    def _ended(self, offset: int) -> None:
        super()._ended(offset)
        # So far it has told no outcome, so no trigger wants it; and after a Flush a service waits for it.
        self._undecided = offset

    def _read(self, kind: int, body: bytes) -> None:
        message = self._message
        if message is None:
            return
        if message.start == self._start:
            message.unasked = kind in _UNASKED or self._syncs.second(ready=kind == ord("Z"))
            message.kind = "notice" if kind in _UNASKED else "ok"
        self._last = message.unasked or kind == ord("Z")
        if kind == ord("E"):
            message.kind = f"error {_code(body)}".rstrip()
        elif kind == ord("C") and not message.kind.startswith("error"):
            message.kind = body.partition(b"\0")[0].partition(b" ")[0].decode(errors="replace")[:_LONGEST_TAG]
        elif kind == ord("G"):
            self._syncs.reads()
        elif kind == ord("Z") and not message.unasked:
            self._syncs.answered(failed=message.kind.startswith("error"), status=body[:1])
        if message.unasked or (kind not in _EMPTY_HANDED and kind not in _UNASKED):
            self._tell()


def _statement(text: bytes) -> _Said:
    """Read the beginning of a statement."""
    words, bounds = text.decode(errors="replace"), False
    while True:
        begin = _SPACE.match(words)
        words = " ".join((words[begin.end() :] if begin else words).split())
        first = _WORD.match(words)
        command = first[0].upper() if first else "?"
        bounds = bounds or command in _COMMITS or (command in _BEGINS and not _TO_SAVEPOINT.match(words))
        behind = _BEFORE_ANOTHER.match(words) if command in _LEADS else None
        if behind is None:
            break
        words = words[behind.end() :]
    written = tuple(map(_plain, _WRITTEN.findall(words))) if command in _WRITES else ()
    if written:
        return _Said(command, written[0], written, bounds)
    read = _READ.search(words) if command in _READS else None
    return _Said(command, _plain(read[1]) if read else "", bounds=bounds)


def _frame(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + _LENGTH).to_bytes(_LENGTH) + body


def _plain(table: str) -> str:
    return table.replace('"', "")[:LONGEST_KEY]


def _code(body: bytes) -> str:
    """Return the SQLSTATE of an error."""
    for field in body.split(b"\0"):
        if field[:1] == b"C" and len(field) == 1 + _SQLSTATE:
            return field[1:].decode(errors="replace")
    return ""
