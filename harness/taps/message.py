"""What a parser makes of the bytes on a connection: messages, each a span of the stream with a command and a key."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from harness.errors import OneffectError

if TYPE_CHECKING:
    from harness.taps.names import Names

Side = Literal["request", "reply"]
"""Which way a message goes: towards the dependency, or back to the service."""

LONGEST_KEY = 256
"""Bytes of a key that are kept; what follows cannot be matched."""


Place = tuple[str, int, int]
"""Topic, partition and offset."""

Routes = Mapping[tuple[str, int], tuple[str, int]]
"""What a broker advertises (host, port) -> what leads there through the link."""

Edit = tuple[int, int, bytes]
"""Where bytes begin and end, and what stands in their place; offsets as a message's."""

Answer = Callable[[], bytes | None]
"""Gives a reply of the tap's own; None while that needs more of its request than has passed."""


class NotUnderstood(OneffectError):
    """The bytes are not of this protocol, or use a part of it that the parser does not follow."""


@dataclass(slots=True)
class Message:
    """One message of one direction. Offsets count the bytes of that direction from the connection's start.

    Values are never kept: only the command, its options, the key, and of a reply its kind.
    """

    start: int
    """Offset of the first byte."""
    command: str = ""
    """``SET``, ``POST``; of a reply empty: its request has it."""
    key: str = ""
    """What the command is about: a key, a path; empty if it has none."""
    kind: str = ""
    """Of a reply: ``OK``, ``nil``, ``error READONLY``, ``503``."""
    end: int | None = None
    """Offset behind the last byte, once it has passed."""
    met: bool = False
    """Whether the connection has dealt with its beginning."""
    answered: bool = True
    """Of a request: whether it gets a reply of its own."""
    streams: bool = False
    """Of a request: whether everything behind its reply comes unasked (SUBSCRIBE, MONITOR)."""
    unasked: bool = False
    """Of a reply: whether it answers no request (a push, an interim response)."""
    options: str = ""
    """Of a request: the options that decide what it does (``NX EX``), once it has ended."""
    counts: bool = False
    """Of a request: whether the number in its reply says how many keys it changed; known once it has ended."""
    number: int | None = None
    """Of a reply: the number that it is. Kept in the history only if its request ``counts``."""
    places: Sequence[Place] | None = None
    """What a request commits, or where a reply says that records are."""
    interim: bool = False
    """Of an unasked reply: whether it belongs to the request whose reply is due (100 Continue)."""
    memo: Any = field(default=None, repr=False, compare=False)
    """Of a request: what its parser must know to answer it."""

    @property
    def size(self) -> int:
        """Bytes; 0 until the message has ended."""
        return self.end - self.start if self.end is not None else 0


class Scanner(Protocol):
    """Finds the messages of one direction; keeps no more of the bytes than a line and a key."""

    @property
    def head(self) -> int | None:
        """Offset at which the message begins whose command and key are not known yet; None if there is none."""
        ...

    def feed(self, data: bytes) -> list[Message]:
        """Return, in order, the messages whose command and key are now known, or whose end has come.

        A message that is whole in ``data`` comes once, with its end; any other twice. Raises NotUnderstood.
        """
        ...

    def finish(self) -> list[Message]:
        """Return the messages that the end of the stream ends."""
        ...


class Parser(Protocol):
    """Both directions of one connection."""

    single: ClassVar[str]
    """Why no request of the protocol can be sent twice; empty where one can."""
    errors: ClassVar[Mapping[str, str]]
    """Name -> text of the errors that a tap can give."""
    commands: ClassVar[Collection[str]]
    """Every command that there is; empty where nobody can know them all."""
    requests: Scanner
    replies: Scanner

    def took(self, request: Message) -> None:
        """Note that a request never reaches the dependency, so that no reply of its own will come."""
        ...

    def repeatable(self, request: Message) -> None:
        """Raise FaultError if this request cannot be sent twice."""
        ...

    def again(self, request: Message) -> Message:
        """Note that a request is sent once more, right behind itself; return what stands for the second one."""
        ...

    def appended(self, sent: bytes, first: Message, second: Message) -> Sequence[Place]:
        """Return where the records are that the second of two equal requests appended, by the replies to both.

        FaultError if that cannot be told.
        """
        ...

    @classmethod
    def refusable(cls, command: str) -> bool:
        """Whether a tap can answer a command with an error, as far as is known before one comes."""
        ...

    def refusal(self, request: Message, error: str) -> Answer:
        """Return what gives the reply to a request that says so.

        LookupError for an error that the protocol does not have, FaultError if no reply to this request can say it.
        """
        ...


@runtime_checkable
class Naming(Protocol):
    """A parser whose messages name the run's topics and groups."""

    names: Names
    """What they are called; the connections of one link share it."""


@runtime_checkable
class Rerouting(Protocol):
    """A parser that can put other addresses in the place of those that a dependency's replies name."""

    def reroute(self, routes: Routes) -> None:
        """Do so from now on: nothing has passed yet. What it cannot read then raises NotUnderstood, and must not pass."""
        ...


@runtime_checkable
class Editing(Protocol):
    """A scanner that puts other bytes in the place of some."""

    held: int | None
    """Offset from which bytes must wait, for what stands in their place is not known yet; None if none must."""
    edits: deque[Edit]
    """In order; who passes the bytes on takes them out."""
