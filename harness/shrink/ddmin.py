"""Delta debugging: the smallest part of a list that still breaks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")


async def ddmin(items: Sequence[T], breaks: Callable[[Sequence[T]], Awaitable[bool]]) -> Sequence[T]:
    """Return a part of ``items``, in their order, that breaks, and does not with any single item left out.

    ``items`` must break, and the empty list must not. Asks ``breaks`` at most about n² times for n items, and about
    log n times if one item alone is to blame. Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input,
    IEEE Transactions on Software Engineering 28 (2002), section 3.2.
    """
    parts = 2
    while len(items) > 1:
        bounds = [place * len(items) // parts for place in range(parts + 1)]
        chunks = [items[begin:end] for begin, end in pairwise(bounds)]
        # With two parts each is the other's complement.
        complements = [[*items[:begin], *items[end:]] for begin, end in pairwise(bounds)] if parts > 2 else []  # noqa: PLR2004
        if (chunk := await _first(chunks, breaks)) is not None:
            items, parts = chunk, 2
        elif (rest := await _first(complements, breaks)) is not None:
            items, parts = rest, parts - 1
        elif parts == len(items):
            break
        else:
            parts = min(2 * parts, len(items))
    return items


async def _first(
    parts: Sequence[Sequence[T]], breaks: Callable[[Sequence[T]], Awaitable[bool]]
) -> Sequence[T] | None:
    for part in parts:
        if await breaks(part):
            return part
    return None
