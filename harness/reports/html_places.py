"""Places a story's marks: each has room for its word, and gaps grow with the logarithm of the time between marks."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, log10
from typing import Final

from harness.reports.moment import Moment

WIDTH: Final = 834
"""Pixels of a page; a picture is wider only where its words need it."""

_LEAST: Final = 20
"""Least pixels between two marks."""

_LETTER: Final = 6.3
"""Pixels of a letter of a label, with a little room."""

_MOST: Final = 400
"""Most steps of a stretch."""

_STEP: Final = 0.5
"""Pixels of one step."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment in a lane, with its number, its word and its horizontal pixel."""

    number: int
    moment: Moment
    word: str
    x: float


def marks(moments: Sequence[Moment]) -> tuple[list[Mark], float]:
    """Return the marks of moments, oldest first, and their width: that of the page, or more if their words need it."""
    words = list(_words(moments))
    row = _Row(moments, words)
    # The width grows with the stretch, so bisection finds the widest stretch that fits.
    fit = bisect_right(range(1, _MOST + 1), WIDTH, key=lambda step: ceil(row.places(step * _STEP)[1]))
    places, width = row.places(fit * _STEP)
    placed = zip(moments, words, places, strict=True)
    return [Mark(n, moment, word, x) for n, (moment, word, x) in enumerate(placed, 1)], max(width, WIDTH)


class _Row:
    """What determines the places of marks, computed once."""

    def __init__(self, moments: Sequence[Moment], words: Sequence[str]) -> None:
        times = [moment.t for moment in moments]
        gaps = [0, *(after - before for before, after in pairwise(times))]
        self._marks = [
            (moment.lane, max(10.0, len(word) * _LETTER / 2), log10(1 + gap / 1e6 / 10))
            for moment, word, gap in zip(moments, words, gaps, strict=True)
        ]

    def places(self, stretch: float) -> tuple[list[float], float]:
        """Return each mark's pixel, and the total width, at ``stretch`` pixels per tenfold of the time before a mark.

        Words in one lane do not overlap.
        """
        taken: dict[str, float] = {}
        places: list[float] = []
        x = 8.0
        for lane, half, gap in self._marks:
            x = max(x + _LEAST + stretch * gap, taken.get(lane, 0.0) + half + 4)
            taken[lane] = x + half
            places.append(x)
        return places, max(*taken.values(), x) + 12


def _words(moments: Sequence[Moment]) -> Iterator[str]:
    """Yield the word under each mark; a consumer's second effect is ``effect again``."""
    effects: Counter[str] = Counter()
    for moment in moments:
        effects[moment.consumer] += moment.word == "effect"
        again = moment.word == "effect" and effects[moment.consumer] > 1
        yield "effect again" if again else moment.word
