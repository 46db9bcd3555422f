"""Kafka requests that await a reply, and what a tap must know of each to answer it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from harness.taps.message import Message

LARGEST: Final = 1 << 20
"""Bytes kept of all of a connection's unanswered requests together."""


@dataclass(slots=True)
class Asked:
    """What a reply needs to know of its request. ``number`` is the correlation id."""

    key: int
    version: int
    number: int
    body: bytes | None = None
    """All that follows the header, without records; None until that has passed, or if it is too large to keep."""
    comes: bool = False
    """Whether the body will be known once the request has passed."""
    waits: bool = False
    """Whether its reply is still to come."""


class Unanswered:
    """The requests of one connection that wait for a reply, in their order."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._kept = 0

    def add(self, message: Message) -> None:
        """Add a request that gets a reply."""
        asked = _of(message)
        asked.waits = True
        self._kept += len(asked.body or b"")
        self._messages.append(message)

    def again(self, message: Message) -> Message:
        """Note that a request is sent again, right after itself, and return the message of the second one."""
        second = Message(message.start, message.command, message.key, memo=replace(_of(message)))
        self._kept += len(_of(second).body or b"")
        self._messages.insert(next((at for at, one in enumerate(self._messages, 1) if one is message), 0), second)
        return second

    def keep(self, asked: Asked, body: bytes) -> None:
        """Keep a request's body, unless too much is kept already."""
        if self._kept + len(body) <= LARGEST:
            asked.body = body
            if asked.waits:
                self._kept += len(body)

    def next(self) -> Asked | None:
        """Remove and return the request whose reply is due; None if there is none."""
        if not self._messages:
            return None
        return self._over(self._messages.popleft())

    def drop(self, message: Message) -> None:
        """Forget a request that gets no reply."""
        if message in self._messages:
            self._messages.remove(message)
            self._over(message)

    def _over(self, message: Message) -> Asked:
        asked = _of(message)
        asked.waits = False
        self._kept -= len(asked.body or b"")
        return asked


def _of(message: Message) -> Asked:
    if not isinstance(message.memo, Asked):
        raise TypeError(f"{message.command} is no request of Kafka's")
    return message.memo
