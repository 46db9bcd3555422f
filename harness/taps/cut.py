"""Resets a connection in the middle of a message, once a given number of its bytes has reached the other end."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import struct
import termios
from dataclasses import dataclass
from typing import Final

from harness.taps.exchange import Exchange
from harness.taps.held import Fate
from harness.taps.message import Message

_TAKING: Final = 10.0
"""Seconds that the other end may take to accept the bytes before the cut; one that does not read never accepts them all."""

_AGAIN: Final = 0.001


class Severed(ConnectionResetError):
    """The connection is broken off on purpose."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a message is cut: after its first ``after`` bytes, or at its end if it has fewer."""

    message: Message
    exchange: Exchange
    after: int
    fate: Fate

    @property
    def at(self) -> int:
        """The offset of the cut; a message whose end is not known yet may end earlier."""
        wanted = self.message.start + self.after
        return wanted if self.message.end is None else min(wanted, self.message.end)


async def handed_over(writer: asyncio.StreamWriter) -> int:
    """Wait until the other end has acknowledged all bytes: a reset discards the rest. Return how many are left."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_TAKING):
            while _waiting(writer):
                await asyncio.sleep(_AGAIN)
    return _waiting(writer)


def _waiting(writer: asyncio.StreamWriter) -> int:
    """Count the bytes that were written and not acknowledged."""
    own, sent = writer.get_extra_info("socket"), bytearray(4)
    if own is None or writer.transport.is_closing():
        return 0
    with contextlib.suppress(OSError, ValueError):
        fcntl.ioctl(own.fileno(), termios.TIOCOUTQ, sent)
    return writer.transport.get_write_buffer_size() + int(struct.unpack("i", sent)[0])
