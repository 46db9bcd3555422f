"""Redis commands that await a reply, in their order, so that a subscription's error in RESP3 is told from another's.

RESP3 begins with the reply to HELLO, and until it comes it is expected to be granted. In RESP3 a SUBSCRIBE is answered
by one push for each channel, which no command waits for. But if it fails, as it does without a permission or at the
wrong node of a cluster, its answer is an error like any other.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from harness.taps.message import Message, NotUnderstood


@dataclass(slots=True)
class _Asked:
    request: Message
    pushes: int | None
    """How many pushes answer it, 0 if that is not known; None if a reply does."""
    newer: bool | None = None
    """Whether it asks for RESP3, or for RESP2; None if for neither."""


class Unanswered:
    """The commands of one connection that wait for a reply or a push."""

    def __init__(self) -> None:
        self._asked: deque[_Asked] = deque()
        self._kind, self._more = b"", 0
        """Which pushes are still to come for a subscription that was granted, and how many."""
        self._newer = False
        """Whether the last reply that says so was in RESP3."""
        self.streams = False
        """Whether a subscription for which pushes were expected was granted in RESP2: nothing that follows is asked for."""

    def add(self, request: Message, pushes: int | None, *, newer: bool | None = None) -> None:
        """Add a command that is answered by a reply or by pushes; ``newer`` if it asks for RESP3, False if for RESP2."""
        self._asked.append(_Asked(request, pushes, newer))

    def assume(self, *, newer: bool) -> None:
        """Note that a command which gets no reply asks for RESP3, or for RESP2."""
        self._newer = newer

    @property
    def newer(self) -> bool:
        """Whether the next command is answered in RESP3, if those before it are granted."""
        return next((one.newer for one in reversed(self._asked) if one.newer is not None), self._newer)

    def drop(self, request: Message) -> None:
        """Forget a command that never reaches the server."""
        if (at := self._behind(request)) is not None:
            del self._asked[at - 1]

    def again(self, request: Message, second: Message) -> None:
        """Note that a command is sent again, right after itself."""
        at = self._behind(request) or 0
        self._asked.insert(at, _Asked(second, None, self._asked[at - 1].newer if at else None))

    def _behind(self, request: Message) -> int | None:
        return next((at for at, one in enumerate(self._asked, 1) if one.request is request), None)

    @property
    def names_pushes(self) -> bool:
        """Whether it matters what the next push is: it may answer a subscription."""
        return self._more > 0 or (bool(self._asked) and self._asked[0].pushes is not None)

    def pushed(self, kind: bytes) -> None:
        """Note a push by its first word."""
        if self._more and kind == self._kind:
            self._more -= 1
        elif self._asked and self._asked[0].pushes is not None and kind == self._subscribes():
            self._kind, self._more = kind, max((self._asked.popleft().pushes or 0) - 1, 0)

    def replied(self, kind: bytes) -> bool:
        """Note a reply that is no push, and return whether a command waits for it; NotUnderstood if none can have it."""
        if self.streams:
            return False
        if not self._asked:
            return True
        asked = self._asked.popleft()
        if kind in {b"-", b"!"}:
            return asked.pushes is None
        if asked.pushes is not None:
            if kind != b"*":
                raise NotUnderstood(f"an answer to {asked.request.command} that is neither a push nor an error")
            self._newer, self.streams = False, True
        elif asked.request.command == "HELLO" and kind in {b"%", b"*"}:
            self._newer = kind == b"%"
        elif asked.newer is not None:
            self._newer = asked.newer
        return asked.pushes is None

    def _subscribes(self) -> bytes:
        return self._asked[0].request.command.lower().encode()
