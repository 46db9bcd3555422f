"""Redis: RESP2 and RESP3, pipelines, MULTI, scripts and pushes; see https://redis.io/docs/latest/develop/reference/protocol-spec/.

hiredis is no help: it builds the values and does not say where a reply begins and ends. This scanner keeps lengths and
the first words, and skips everything else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, Final

from harness.errors import FaultError
from harness.taps.message import LONGEST_KEY, Answer, Message, NotUnderstood, Place
from harness.taps.redis_asked import Unanswered
from harness.taps.spans import Spans

_LONGEST_LINE = 64 * 1024
"""Bytes of an inline command, as Redis itself allows."""

_LONGEST_HEAD = 64 * 1024
"""Bytes of a request after which its key is no longer awaited, as when a long script precedes it."""

_KEPT = 64
"""Bytes of a reply's line that are kept: its type, its length or its first word."""

_DIGITS = 20
_MOST_WORDS = 2**31
_LONGEST_WORD = 2**40
"""Longest plausible argument or reply, in bytes; a larger number is not a length."""

_KEY_AT: Final = {
    "EVAL": 3,
    "EVALSHA": 3,
    "EVAL_RO": 3,
    "EVALSHA_RO": 3,
    "FCALL": 3,
    "FCALL_RO": 3,
    "BLMPOP": 3,
    "BZMPOP": 3,
    "MIGRATE": 3,
    "BITOP": 2,
    "OBJECT": 2,
    "MEMORY": 2,
    "XGROUP": 2,
    "XINFO": 2,
    "LMPOP": 2,
    "ZMPOP": 2,
    "SINTERCARD": 2,
    "ZINTER": 2,
    "ZUNION": 2,
    "ZDIFF": 2,
    "ZINTERCARD": 2,
}
"""Command -> index of its first key among the command's words, where that is not 1."""

_COUNTED = frozenset({"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"})
"""Commands whose second argument is the number of keys; after a 0, the next argument is a value."""

_KEYLESS: Final = frozenset(
    """
    ACL ASKING AUTH BGREWRITEAOF BGSAVE CLIENT CLUSTER COMMAND CONFIG DBSIZE DEBUG DISCARD ECHO EXEC FAILOVER
    FLUSHALL FLUSHDB FUNCTION HELLO INFO KEYS LASTSAVE LATENCY LOLWUT MODULE MONITOR MULTI PING PUBSUB QUIT
    RANDOMKEY READONLY READWRITE REPLICAOF RESET ROLE SAVE SCAN SCRIPT SELECT SHUTDOWN SLAVEOF SLOWLOG SWAPDB
    TIME UNWATCH WAIT WAITAOF XREAD XREADGROUP
    """.split()  # noqa: SIM905 - fifty words read best as a text
)
"""Commands without a key: their arguments may be values or passwords."""

_OPTIONS: Final = frozenset(
    {b"NX", b"XX", b"GET", b"EX", b"PX", b"EXAT", b"PXAT", b"KEEPTTL", b"IFEQ", b"IFNE", b"IFDEQ", b"IFDNE"}
)
"""Options of SET, which follow its value."""

_FIRST_OPTION = 3
"""Index of the first word of a SET that may be an option."""

_LONGEST_OPTION = 7
_MOST_OPTIONS = 16

_COUNTING: Final = {"DEL": 2, "UNLINK": 2, "SETNX": 3}
"""Command whose reply is the number of keys that it changed -> its number of words with one key."""

_LOOKED_AT: Final = {"HELLO": 1, "CLIENT": 2, "SELECT": 1}
"""Keyless command that changes the connection's state -> index of the last argument that matters."""

_SUBSCRIBES = frozenset({"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"})
_TRANSACTION: Final = "within MULTI"
"""The memo of a request within a transaction."""

_ENDS: Final = frozenset({"EXEC", "DISCARD", "RESET"})
"""Commands that end a transaction."""

_NEVER_REFUSED: Final = frozenset({"MULTI", "DISCARD", "RESET"})
"""Commands of transactions that Redis executes whatever its state is."""

_DISCARD: Final = b"*1\r\n$7\r\nDISCARD\r\n"
_UNKNOWN: Final = b"*1\r\n$8\r\nONEFFECT\r\n"
"""No command of Redis': its error makes the EXEC of an open transaction fail."""

_REPLICATES = frozenset({"PSYNC", "SYNC"})

_STATUSES = frozenset({"OK", "QUEUED", "PONG", "RESET", "BACKGROUND"})
"""Simple strings that Redis itself defines; any other may be a value."""

_KINDS: Final = {
    b"*": "array",
    b"~": "set",
    b"%": "map",
    b">": "push",
    b"|": "attribute",
    b"$": "bulk",
    b"=": "verbatim",
    b"!": "error",
    b":": "integer",
    b"#": "boolean",
    b",": "double",
    b"(": "big number",
    b"_": "nil",
}
_ELEMENTS: Final = {b"*": 1, b"~": 1, b">": 1, b"%": 2, b"|": 2}
"""Type of an aggregate -> elements per unit of its count."""

ERRORS: Final = {
    "LOADING": "LOADING Redis is loading the dataset in memory",
    "READONLY": "READONLY You can't write against a read only replica.",
    "OOM": "OOM command not allowed when used memory > 'maxmemory'.",
}
"""Name -> the text that Redis itself gives."""


class RedisParser:
    """Implements ``harness.taps.message.Parser``."""

    single: ClassVar[str] = ""
    errors: ClassVar[Mapping[str, str]] = ERRORS
    after: ClassVar[Collection[str]] = ()
    only_after: ClassVar[Collection[str]] = ()
    final: ClassVar[Collection[str]] = ()
    commands: ClassVar[Collection[str]] = ()

    def __init__(self) -> None:
        self._unanswered = Unanswered()
        self.requests = Requests(self._unanswered)
        self.replies = Replies(self._unanswered)

    def took(self, request: Message) -> None:
        self._unanswered.drop(request)

    def repeatable(self, request: Message) -> None:
        if request.memo is _TRANSACTION:
            raise FaultError(
                f"{request.command}: within MULTI and EXEC a second one would change the replies of the first"
            )

    def again(self, request: Message) -> Message:
        second = Message(request.start, request.command, request.key)
        self._unanswered.again(request, second)
        return second

    def appended(self, sent: bytes, first: Message, second: Message) -> Sequence[Place]:  # noqa: ARG002 - no records
        return ()

    @classmethod
    def refusable(cls, command: str) -> bool:
        return command not in _NEVER_REFUSED

    def instead(self, request: Message) -> bytes:
        """Return what makes Redis discard the open transaction, as its own error would: at once, or at its EXEC."""
        if request.memo is not _TRANSACTION:
            return b""
        return _DISCARD if request.command == "EXEC" else _UNKNOWN

    def refusal(self, request: Message, error: str) -> Answer:
        if request.command in _NEVER_REFUSED:
            raise FaultError(f"{request.command}: Redis never answers it with {error}; act at a command behind it")
        aborts = "EXECABORT Transaction discarded because of: " if request.command == "EXEC" else ""
        reply = f"-{aborts}{ERRORS[error]}\r\n".encode()
        return lambda: reply


class Requests(Spans):
    """Arrays of bulk strings, and inline commands."""

    def __init__(self, unanswered: Unanswered) -> None:
        super().__init__()
        self._unanswered = unanswered
        self._line = b""
        self._skip = 0
        self._left = 0
        self._words: list[bytes] = []
        self._word: bytearray | None = None
        self._options: list[bytes] = []
        self._length = 0
        self._count = 0
        """Words of the command that is being read."""
        self._silent = False
        self._multi = False
        """Whether a transaction is open."""
        self._skip_next = False

    def _scan(self, data: bytes) -> None:
        at, length = 0, len(data)
        while at < length:
            if self._skip:
                at = self._argument(data, at)
                continue
            newline = data.find(b"\n", at)
            if self._message is None:
                self._begin(self._at + at)
            if newline < 0:
                self._line += data[at:]
                if len(self._line) > _LONGEST_LINE:
                    raise NotUnderstood(f"a line of more than {_LONGEST_LINE} bytes is no Redis command")
                break
            line, self._line = self._line + data[at : newline + 1], b""
            at = newline + 1
            self._read(line, at)
        message = self._message
        if message is not None and self._words and self._at + length - message.start > _LONGEST_HEAD:
            self._learn()

    def _read(self, line: bytes, at: int) -> None:
        if self._left:
            if line[:1] != b"$":
                raise NotUnderstood(f"{line[:1]!r} stands where an argument's length should")
            self._length = _number(line, _LONGEST_WORD)
            self._skip = self._length + 2
            self._word = bytearray() if len(self._words) <= self._needed() or self._optional() else None
        elif line[:1] == b"*":
            self._count = self._left = _number(line, _MOST_WORDS, least=-1)
            if self._left <= 0:
                self._left = 0
                self._close(at)
        else:
            words = line.split()
            self._count = len(words)
            self._words = [word[:LONGEST_KEY] for word in words[: 1 + max(_KEY_AT.values())]]
            self._options = words[_FIRST_OPTION : _FIRST_OPTION + _MOST_OPTIONS]
            self._close(at)

    def _argument(self, data: bytes, at: int) -> int:
        taken = min(self._skip, len(data) - at)
        if self._word is not None and (room := min(self._length, LONGEST_KEY) - len(self._word)) > 0:
            self._word += data[at : at + min(taken, room)]
        self._skip -= taken
        at += taken
        if self._skip:
            return at
        self._left -= 1
        if self._word is not None:
            (self._words if len(self._words) <= self._needed() else self._options).append(bytes(self._word))
            self._word = None
        if not self._left:
            self._close(at)
        elif not self._told and len(self._words) > self._needed():
            self._learn()
        return at

    def _needed(self) -> int:
        """The index of the last word that is of interest."""
        if not self._words:
            return 0
        command = self._command()
        return _LOOKED_AT.get(command, 0) if command in _KEYLESS else _KEY_AT.get(command, 1)

    def _optional(self) -> bool:
        """Whether the argument that begins now may be an option of a SET."""
        place = self._count - self._left
        if place < _FIRST_OPTION or self._length > _LONGEST_OPTION or len(self._options) == _MOST_OPTIONS:
            return False
        return self._command() == "SET"

    def _command(self) -> str:
        return self._words[0].decode(errors="replace").upper()

    def _learn(self) -> None:
        message = self._message
        if message is None or self._told or not self._words:
            return
        words = self._words
        message.command = command = self._command()
        place = _KEY_AT.get(command, 1)
        counted = command in _COUNTED and words[2:3] == [b"0"]
        if command == "SELECT" and words[1:] and words[1].isdigit():
            message.key = words[1].decode()  # the database, since equal keys in two databases differ
        elif command not in _KEYLESS and not counted and len(words) > place:
            message.key = words[place].decode(errors="replace")
        self._expect(message, [word.upper() for word in words[1:3]])
        self._tell()

    def _expect(self, message: Message, arguments: list[bytes]) -> None:
        """Set what kind of reply follows, if any."""
        command = message.command
        if command in _REPLICATES:
            raise NotUnderstood(f"{command} begins a replication, which is no exchange of requests and replies")
        newer = False if command == "RESET" else None
        if command == "HELLO" and arguments[:1] in ([b"2"], [b"3"]):
            newer = arguments[0] == b"3"
        if self._multi or command == "MULTI" or command in _ENDS:
            message.memo = _TRANSACTION
            self._multi = command not in _ENDS
        skipped, self._skip_next = self._skip_next, False
        if command == "CLIENT" and arguments[:1] == [b"REPLY"]:
            self._silent = arguments[1:] == [b"OFF"]
            self._skip_next = arguments[1:] == [b"SKIP"]
            skipped = skipped or self._skip_next
        streams = self._unanswered.streams
        heard = not (self._silent or skipped or streams)
        subscribes = command in _SUBSCRIBES and not streams
        pushes = subscribes and message.memo is not _TRANSACTION and self._unanswered.newer
        older = subscribes and not self._unanswered.newer
        message.answered = older or (heard and not pushes)
        message.streams = older or command == "MONITOR"
        if heard or older:
            self._unanswered.add(message, self._count - 1 if pushes else None, newer=newer)
        elif newer is not None:
            self._unanswered.assume(newer=newer)

    def _close(self, at: int) -> None:
        if self._message is not None and self._words:
            self._learn()
            command = self._command()
            if command == "SET":
                self._message.options = " ".join(
                    option.decode() for word in self._options if (option := word.upper()) in _OPTIONS
                )
            self._message.counts = _COUNTING.get(command) == self._count
            self._end(self._at + at)
        else:
            self._message = None  # an empty command, which gets no reply
        self._words, self._word, self._options = [], None, []


class Replies(Spans):
    """Replies of any depth; only their beginning and end matter, so elements are counted and not kept."""

    def __init__(self, unanswered: Unanswered) -> None:
        super().__init__()
        self._unanswered = unanswered
        self._named = False
        """Whether the next line begins the first word of a push that may answer a subscription."""
        self._word: bytearray | None = None
        """That word, as far as it has come."""
        self._line = b""
        self._skip = 0
        self._left = 0

    def _scan(self, data: bytes) -> None:
        at, length = 0, len(data)
        while at < length:
            if self._skip:
                taken = min(self._skip, length - at)
                self._skip -= taken
                if self._word is not None:
                    self._spell(self._word, data[at : at + taken])
                at += taken
            else:
                if self._message is None:
                    self._begin(self._at + at)
                    self._left = 1
                newline = data.find(b"\n", at)
                if newline < 0:
                    self._line = (self._line + data[at : at + _KEPT])[:_KEPT]
                    break
                line, self._line = (self._line + data[at : min(newline + 1, at + _KEPT)])[:_KEPT], b""
                at = newline + 1
                self._read(line)
                self._tell()
            if not self._left and not self._skip:
                self._end(self._at + at)

    def _read(self, line: bytes) -> None:
        kind = line[:1]
        if kind in b"+-:_#,(" and kind:
            self._left -= 1
        elif kind in _ELEMENTS:
            count = _number(line, _MOST_WORDS, least=-1)
            self._left += max(count, 0) * _ELEMENTS[kind] - (kind != b"|")
        elif kind in {b"$", b"!", b"="}:
            count = _number(line, _LONGEST_WORD, least=-1)
            self._left -= 1
            self._skip = count + 2 if count >= 0 else 0
            self._word = bytearray() if self._named and 0 <= count <= _KEPT else None
        else:
            raise NotUnderstood(f"{line[:1]!r} begins no Redis reply")
        self._named = False
        if not self._told and self._message is not None:
            self._message.kind = _kind(line)
            if kind == b":":
                self._message.number = _count(line)
            self._named = kind == b">" and self._unanswered.names_pushes
            self._message.unasked = kind == b">" or not self._unanswered.replied(kind)

    def _spell(self, word: bytearray, more: bytes) -> None:
        word += more
        if not self._skip:
            self._unanswered.pushed(bytes(word[:-2]))
            self._word = None


def _kind(line: bytes) -> str:
    """Describe a reply by its first line, without its value."""
    kind = line[:1]
    if line[1:3] == b"-1" and kind in b"$*":
        return "nil"
    word = (line[1:].split() or [b""])[0].decode(errors="replace")
    if kind == b"-":
        return f"error {word}" if word.isalpha() and word.isupper() else "error"
    if kind == b"+":
        return word if word in _STATUSES else "status"
    return _KINDS[kind]


def _count(line: bytes) -> int | None:
    """Return a reply's number, if it is one."""
    try:
        return _number(line, _MOST_WORDS, least=-_MOST_WORDS)
    except NotUnderstood:
        return None


def _number(line: bytes, most: int, *, least: int = 0) -> int:
    """Return the number behind a line's type; NotUnderstood if there is none, or it is out of bounds."""
    digits = line[1:].rstrip(b"\r\n")
    plain = digits.removeprefix(b"-")
    if not plain.isdigit() or len(plain) > _DIGITS or not least <= (number := int(digits)) <= most:
        raise NotUnderstood(f"{line[:1] + digits[:_DIGITS]!r} is no Redis length")
    return number
