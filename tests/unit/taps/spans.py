"""Cuts a stream into pieces, and collects what a scanner makes of them; shared by the protocols' tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from harness.taps.message import Message, Scanner


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    at = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[one:other] for one, other in itertools.pairwise(at)]


def seen(scanner: Scanner, chunks: Iterable[bytes]) -> list[Message]:
    """Return the messages that ended; each must come once, with its end, or twice."""
    ended: list[Message] = []
    begun: list[Message] = []
    for chunk in chunks:
        for message in scanner.feed(chunk):
            twice = any(message is one for one in begun)
            assert message.end is not None or not twice
            assert not any(message is one for one in ended)
            (ended if message.end is not None else begun).append(message)
    return ended


def spans(messages: Iterable[Message]) -> list[tuple[int, int | None, str, str]]:
    """Return start, end, command (of a reply: its kind) and key of each message."""
    return [(message.start, message.end, message.command or message.kind, message.key) for message in messages]
