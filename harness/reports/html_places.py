"""Where the marks of a story stand: each has room for its word, and the time between them counts by its logarithm."""

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
"""Pixels between two marks."""

_LETTER: Final = 6.3
"""Pixels of a letter of a label, with a little room."""

_MOST: Final = 400
"""Of a stretch, in its steps."""

_STEP: Final = 0.5
"""Pixels."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of a lane, with its number, its word and the pixel where it stands."""

    number: int
    moment: Moment
    word: str
    x: float


def marks(moments: Sequence[Moment]) -> tuple[list[Mark], float]:
    """The marks of moments, oldest first, and the pixels that they take: as much as the page has, more only for words."""
    words = list(_words(moments))
    row = _Row(moments, words)
    # The wider the stretch, the wider the whole: so the widest that fits is found by halving.
    fit = bisect_right(range(1, _MOST + 1), WIDTH, key=lambda step: ceil(row.places(step * _STEP)[1]))
    places, width = row.places(fit * _STEP)
    told = zip(moments, words, places, strict=True)
    return [Mark(n, moment, word, x) for n, (moment, word, x) in enumerate(told, 1)], max(width, WIDTH)


class _Row:
    """What the places of marks follow from, computed once."""

    def __init__(self, moments: Sequence[Moment], words: Sequence[str]) -> None:
        times = [one.t for one in moments]
        gaps = [0, *(after - before for before, after in pairwise(times))]
        self._marks = [
            (moment.lane, max(10.0, len(word) * _LETTER / 2), log10(1 + gap / 1e6 / 10))
            for moment, word, gap in zip(moments, words, gaps, strict=True)
        ]

    def places(self, stretch: float) -> tuple[list[float], float]:
        """Each mark's pixel, and the width of all, with ``stretch`` pixels for each tenfold of the time before a mark.

        Words in one lane stand beside each other.
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
    """The word under each mark; a second effect of one consumer is called so."""
    effects: Counter[str] = Counter()
    for moment in moments:
        effects[moment.consumer] += moment.word == "effect"
        again = moment.word == "effect" and effects[moment.consumer] > 1
        yield "effect again" if again else moment.word
