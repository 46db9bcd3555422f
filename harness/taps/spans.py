"""What all protocols' scanners share: a message begins, is reported once its command and key are known, and ends."""

from __future__ import annotations

from abc import ABC, abstractmethod

from harness.taps.message import Message


class Spans(ABC):
    """Implements ``harness.taps.message.Scanner``; a subclass reads in ``_scan``, and says where messages begin and end."""

    def __init__(self) -> None:
        self._at = 0
        """Offset of the first of the bytes that are being read."""
        self._message: Message | None = None
        self._told = False
        """Whether the message's command and key are known."""
        self._undecided = 0
        """Offset from which the message waits until it is told: its start, or where what decides nothing ends."""
        self._found: list[Message] = []

    @property
    def head(self) -> int | None:
        return self._undecided if self._message is not None and not self._told else None

    def feed(self, data: bytes) -> list[Message]:
        self._found = []
        self._scan(data)
        self._at += len(data)
        return self._found

    def finish(self) -> list[Message]:
        return []

    @abstractmethod
    def _scan(self, data: bytes) -> None: ...

    def _begin(self, start: int) -> Message:
        self._message, self._told, self._undecided = Message(start), False, start
        return self._message

    def _tell(self) -> None:
        """Report the message: its command and key are known."""
        if self._message is not None and not self._told:
            self._told = True
            self._message.undecided = self._undecided - self._message.start
            self._found.append(self._message)

    def _end(self, end: int) -> None:
        """End the message at an offset, and report that, unless this ``feed`` reports the message already."""
        message, self._message = self._message, None
        if message is not None:
            message.end = end
            if not (self._found and self._found[-1] is message):
                self._found.append(message)
