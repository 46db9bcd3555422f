"""Kafka's framing: each message is a four-byte length, followed by that many bytes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator
from typing import Final

from harness.taps.kafka_asked import LARGEST
from harness.taps.kafka_schema import Misfit
from harness.taps.message import Message, NotUnderstood
from harness.taps.spans import Spans

LONGEST: Final = 1 << 30
"""Largest plausible frame, in bytes: by default brokers accept less than a tenth of it."""

_LENGTH: Final = 4
_TLS: Final = b"\x16\x03"
"""The first bytes of a TLS connection; as a frame's length, they would mean 369 MB."""

Reading = Generator[int, bytes, None]
"""Reads one frame: yields how many bytes it wants next, or how many to skip as a negative number."""


class Frames(Spans):
    """Implements ``harness.taps.message.Scanner``; ``_frame`` reads a frame.

    It keeps only the bytes that ``_frame`` has asked for and not yet received.
    """

    def __init__(self) -> None:
        super().__init__()
        self._reading: Reading | None = None
        self._wanted = 0
        self._kept = bytearray()
        self._left = 0
        """Bytes of the frame that ``_frame`` has not asked for yet."""
        self._ends = 0
        """Offset of the frame's end; the next byte is ``_left`` bytes before it."""

    def _scan(self, data: bytes) -> None:
        at, length = 0, len(data)
        while at < length:
            if self._reading is None:
                self._reading = self._whole(self._begin(self._at + at))
                self._wanted = next(self._reading)
            at = self._give(data, at)
            if not self._wanted:
                self._go_on(self._at + at)

    def _give(self, data: bytes, at: int) -> int:
        """Skip or keep the wanted bytes, as far as they are there; return the index after them."""
        taken = min(abs(self._wanted), len(data) - at)
        if self._wanted > 0:
            self._kept += data[at : at + taken]
            self._wanted -= taken
        else:
            self._wanted += taken
        return at + taken

    def _go_on(self, offset: int) -> None:
        """Give the reading the wanted bytes, which end at ``offset``, until it wants more than there is."""
        try:
            while not self._wanted and self._reading is not None:
                given = bytes(self._kept)
                self._kept.clear()
                self._wanted = self._reading.send(given)
        except StopIteration:
            self._reading = None
            self._end(offset)

    def _whole(self, message: Message) -> Reading:
        head = yield _LENGTH
        self._left = int.from_bytes(head, "big", signed=True)
        if head.startswith(_TLS):
            raise NotUnderstood("TLS, which no tap reads")
        if not 0 < self._left <= LONGEST:
            raise NotUnderstood(f"{head!r} is no length of a Kafka message")
        self._ends = message.start + _LENGTH + self._left
        yield from self._frame(message)
        yield from self._skip(self._left)

    @abstractmethod
    def _frame(self, message: Message) -> Reading: ...

    def _take(self, size: int) -> Generator[int, bytes, bytes]:
        """Read ``size`` bytes; raises Misfit if the frame has fewer left."""
        if not 0 <= size <= self._left:
            raise Misfit
        self._left -= size
        return (yield size) if size else b""

    def _skip(self, size: int) -> Reading:
        if not 0 <= size <= self._left:
            raise Misfit
        self._left -= size
        if size:
            yield -size

    def _take_into(self, out: bytearray, size: int) -> Reading:
        """Read ``size`` bytes into ``out``; raises Misfit if that is more than a tap keeps."""
        if len(out) + size > LARGEST:
            raise Misfit
        out += yield from self._take(size)

    def _length(self, size: int | None, out: bytearray) -> Generator[int, bytes, int]:
        """Read a length of ``size`` bytes, or a compact one if that is None; -1 means null."""
        if size is None:
            return (yield from self._varint(out)) - 1
        yield from self._take_into(out, size)
        return int.from_bytes(out[-size:], "big", signed=True)

    def _varint(self, out: bytearray) -> Generator[int, bytes, int]:
        found = 0
        for shift in range(0, 35, 7):
            yield from self._take_into(out, 1)
            found |= (out[-1] & 0x7F) << shift
            if out[-1] < 0x80:  # noqa: PLR2004 - the continuation bit
                return found
        raise Misfit

    def _tags(self, out: bytearray) -> Reading:
        """Read tagged fields."""
        for _ in range((yield from self._varint(out))):
            yield from self._varint(out)
            size = yield from self._varint(out)
            yield from self._take_into(out, size)
