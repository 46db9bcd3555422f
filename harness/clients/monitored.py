"""Reads what MONITOR tells: lines such as ``1700000000.1 [0 127.0.0.1:1] "SET" "key" "value"``, of any length."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

LONGEST: Final = 1024
"""Bytes of a word that are kept: values may be of hundreds of megabytes, and four times as long when they are told."""

MOST: Final = 16
"""Words of a command that are kept."""

_CHUNK = 1 << 16
_OUTSIDE = re.compile(rb'["\n]')
_INSIDE = re.compile(rb'(?:[^"\\]|\\.)*+', re.DOTALL)
"""What belongs to a word; it ends before the quote, or before a backslash whose partner has not come yet."""


async def commands(reader: asyncio.StreamReader) -> AsyncIterator[list[str]]:
    """The words of each line that has any, as they are written there, until the connection ends.

    A word is cut off after ``LONGEST`` bytes, a command after ``MOST`` words; no more than that is ever held.
    """
    words: list[bytearray] = []
    dropped = bytearray()
    word, inside, rest = dropped, False, b""
    while chunk := await reader.read(_CHUNK):
        text, at = rest + chunk, 0
        while at < len(text):
            if inside:
                end = _INSIDE.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing, too
                if word is not dropped:
                    word += text[at : min(end, at + LONGEST - len(word))]
                at = end
                if text[at : at + 1] != b'"':
                    break  # the word goes on in the next chunk
                inside = False
            elif (found := _OUTSIDE.search(text, at)) is None:
                at = len(text)
                break
            else:
                at = found.start()
                if found[0] == b'"':
                    inside, word = True, bytearray() if len(words) < MOST else dropped
                    if word is not dropped:
                        words.append(word)
                else:
                    if words:
                        yield [one.decode(errors="replace") for one in words]
                    words = []
            at += 1
        rest = text[at:]
