"""What a parser makes of the bytes on a connection: messages, each a span of the stream with a command and a key."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from harness.errors import OneffectError

if TYPE_CHECKING:
    from harness.stack import Record
    from harness.taps.names import Names

Side = Literal["request", "reply"]
"""Which way a message goes: towards the dependency, or back to the service."""

LONGEST_KEY = 256
"""Bytes of a key that are kept; what follows cannot be matched."""


Place = tuple[str, int, int]
"""Topic, partition and offset."""

Routes = Mapping[tuple[str, int], tuple[str, int]]
"""Address that a broker advertises (host, port) -> the one that leads there through the link."""

Edit = tuple[int, int, bytes]
"""Start and end of the bytes to replace, and their replacement; offsets as a message's."""

Answer = Callable[[], bytes | None]
"""Returns a reply of the tap's own; None while too little of the request has passed to make it."""


class NotUnderstood(OneffectError):
    """The bytes are not of this protocol, or use a part of it that the parser does not follow."""


@dataclass(slots=True)
class Message:
    """One message of one direction. Offsets count the bytes of that direction from the connection's start.

    Values are never kept: only the command, its options, the key, and a reply's kind.
    """

    start: int
    """Offset of the first byte."""
    command: str = ""
    """``SET``, ``POST``; empty for a reply, whose request has it."""
    key: str = ""
    """What the command is about: a key, a path; empty if it has none."""
    kind: str = ""
    """For a reply: ``OK``, ``nil``, ``error READONLY``, ``503``."""
    end: int | None = None
    """Offset after the last byte, once it is known."""
    met: bool = False
    """Whether the connection has dealt with its beginning."""
    answered: bool = True
    """For a request: whether it gets a reply of its own."""
    streams: bool = False
    """For a request: whether everything after its reply comes unasked (SUBSCRIBE, MONITOR)."""
    unasked: bool = False
    """For a reply: whether it answers no request (a push, an interim response)."""
    options: str = ""
    """For a request: the options that decide what it does (``NX EX``), once it has ended."""
    counts: bool = False
    """For a request: whether the number in its reply says how many keys it changed; known once it has ended."""
    number: int | None = None
    """For an integer reply: its value. The history keeps it only if the request ``counts``."""
    places: Sequence[Place] | None = None
    """The offsets that a request commits, all of them or None, or the places of records that a reply names."""
    interim: bool = False
    """For an unasked reply: whether it belongs to the request whose reply is due (100 Continue)."""
    undecided: int = 0
    """Bytes at its beginning that decide nothing, and pass before it is known what message it is."""
    memo: Any = field(default=None, repr=False, compare=False)
    """For a request: what its parser must know to answer it."""

    @property
    def size(self) -> int:
        """Bytes; 0 until the message has ended."""
        return self.end - self.start if self.end is not None else 0

    @property
    def held_from(self) -> int:
        """Offset from which a trigger holds it."""
        return self.start + self.undecided


class Scanner(Protocol):
    """Finds the messages of one direction; keeps only a bounded part of the bytes."""

    @property
    def head(self) -> int | None:
        """Offset from which bytes wait while a trigger is armed, since it is not known yet whether it wants their message.

        None if no bytes need to wait.
        """

    def feed(self, data: bytes) -> list[Message]:
        """Return, in order, the messages whose command and key are now known, or whose end has come.

        A message that is whole in ``data`` is returned once, any other twice: known, then ended. Raises NotUnderstood.
        """

    def finish(self) -> list[Message]:
        """Return the messages that the end of the stream ends."""


class Parser(Protocol):
    """Both directions of one connection."""

    single: ClassVar[str]
    """Why no request of the protocol can be sent twice; empty where one can."""
    errors: ClassVar[Mapping[str, str]]
    """Name -> text of the errors that a tap can give."""
    after: ClassVar[Collection[str]]
    """Of these, the errors that may answer a request which was executed."""
    only_after: ClassVar[Collection[str]]
    """Of those, the errors that say that it was."""
    final: ClassVar[Collection[str]]
    """Errors that no repetition helps against, such as a record that is too large: a tap gives none of them."""
    commands: ClassVar[Collection[str]]
    """All commands of the protocol; empty if they cannot all be known."""
    requests: Scanner
    replies: Scanner

    def took(self, request: Message) -> None:
        """Note that a request never reaches the dependency, so that no reply of its own will come."""

    def repeatable(self, request: Message) -> None:
        """Raise FaultError if this request cannot be sent twice."""

    def again(self, request: Message) -> Message:
        """Note that a request is sent again, right after itself; return the message of the second one."""

    def appended(self, sent: bytes, first: Message, second: Message) -> Sequence[Place]:
        """Return the places of the records that the second of two equal requests appended, judged by both replies.

        Raises FaultError if the places cannot be known.
        """

    @classmethod
    def refusable(cls, command: str) -> bool:
        """Whether a tap can answer a command with an error, as far as the command alone tells."""

    def instead(self, request: Message) -> bytes:
        """Return what to send in place of a request that a tap answers with an error; empty for nothing.

        With it the dependency is where its own error would have left it, and answers it in the request's turn.
        """

    def refusal(self, request: Message, error: str) -> Answer:
        """Return a function that makes the reply with this error, called once the dependency has answered ``instead``.

        Raises LookupError if the protocol has no such error, FaultError if no reply to this request can carry it.
        """


@runtime_checkable
class Corrupting(Protocol):
    """A parser whose requests carry records, one of which can be altered."""

    def corrupted(
        self, sent: bytes, request: Message, topics: Collection[str], alter: Callable[[bytes], bytes]
    ) -> tuple[bytes, Record]:
        """Return a request with one record's value altered, and the record as it was, its offset counted from its batch's.

        Raises FaultError if no record of it can be altered.
        """


@runtime_checkable
class Naming(Protocol):
    """A parser whose messages name the run's topics and groups."""

    names: Names
    """The system file's names for them; the connections of one link share this."""


@runtime_checkable
class Rerouting(Protocol):
    """A parser that can replace the addresses in a dependency's replies."""

    def reroute(self, routes: Routes) -> None:
        """Replace addresses; call it before anything has passed. Bytes that raise NotUnderstood must not pass then."""


@runtime_checkable
class Editing(Protocol):
    """A scanner that replaces some of the bytes."""

    held: int | None
    """Offset from which bytes must wait until their replacement is known; None if none must."""
    edits: deque[Edit]
    """Replacements in order; whoever passes the bytes on applies and removes them."""
