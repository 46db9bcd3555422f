"""Parses MONITOR's output: lines such as ``1700000000.1 [0 127.0.0.1:1] "SET" "key" "value"``, of any length."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

LONGEST: Final = 1024
"""Bytes kept of a word: values may take hundreds of megabytes, and four times as much when MONITOR escapes them."""

MOST: Final = 16
"""Words kept of a command."""

_CHUNK = 1 << 16
_OUTSIDE = re.compile(rb'["\n]')
_INSIDE = re.compile(rb'(?:[^"\\]|\\.)*+', re.DOTALL)
"""The rest of a word; the match ends before the quote, or before a backslash whose partner has not arrived yet."""


async def commands(reader: asyncio.StreamReader) -> AsyncIterator[list[str]]:
    """Yield the words of each command, still escaped, until the connection ends.

    Cuts a word after ``LONGEST`` bytes and a command after ``MOST`` words, and never holds more than that.
    """
    words: list[bytearray] = []
    dropped = bytearray()
    word, inside, rest = dropped, False, b""
    while chunk := await reader.read(_CHUNK):
        text, at = rest + chunk, 0
        while at < len(text):
            if inside:
                end = _INSIDE.match(text, at).end()  # type: ignore[union-attr]  # it always matches
                if word is not dropped:
                    word += text[at : min(end, at + LONGEST - len(word))]
                at = end
                if text[at : at + 1] != b'"':
                    break  # the word continues in the next chunk
                inside = False
            elif (match := _OUTSIDE.search(text, at)) is None:
                at = len(text)
                break
            else:
                at = match.start()
                if match[0] == b'"':
                    inside, word = True, bytearray() if len(words) < MOST else dropped
                    if word is not dropped:
                        words.append(word)
                else:
                    if words:
                        yield [raw.decode(errors="replace") for raw in words]
                    words = []
            at += 1
        rest = text[at:]
