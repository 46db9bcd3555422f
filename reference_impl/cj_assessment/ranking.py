"""Comparative judgement: pairs of essays are judged, and Bradley-Terry strengths fitted to the outcomes.

It only adds in a fixed order, multiplies and divides, so every machine gets the same ranking, bit for bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np
from numpy.typing import NDArray

from reference_impl.cj_assessment.features import Features
from reference_impl.common_core.events import RankedEssay

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]

_ALL_PAIRS = 40
"""Up to this many essays, every pair is compared."""

_PRIOR = 1.0
"""Points that each essay wins from, and loses to, an imaginary essay of strength 1; keeps strengths finite."""

_ROUNDS = 10_000
_CLOSE = 1e-9


@dataclass(frozen=True)
class Ranking:
    """The essays, best first, and the comparisons: the ids of both essays, and the points that each won."""

    essays: tuple[RankedEssay, ...]
    comparisons: tuple[tuple[str, str, int, int], ...]


def rank(features: Mapping[str, Features]) -> Ranking:
    """Compare and rank at least one essay; ``features`` maps ids to features. CPU-bound: call it in a thread."""
    ids = sorted(features)
    first, second = pairs(len(ids))
    criteria = np.array([features[essay_id].criteria for essay_id in ids])
    won = judge(criteria[first], criteria[second])
    lost = judge(criteria[second], criteria[first])
    fitted = strengths(len(ids), first, second, won, lost)
    whole = fsum(fitted)
    ppm = [round(strength / whole * 1_000_000) for strength in fitted.tolist()]
    best_first = sorted(zip(ids, ppm, strict=True), key=lambda each: (-each[1], each[0]))
    return Ranking(
        tuple(
            RankedEssay(essay_id=essay_id, rank=place, strength_ppm=strength)
            for place, (essay_id, strength) in enumerate(best_first, 1)
        ),
        tuple(
            (ids[left], ids[right], int(points), int(against))
            for left, right, points, against in zip(first, second, won, lost, strict=True)
        ),
    )


def pairs(essays: int) -> tuple[Indices, Indices]:
    """Return the index pairs to compare; many essays form a ring, each compared with those 1, 2, 4, ... places on.

    The comparisons then grow as n log n, and any two essays are still only a few comparisons apart.
    """
    if essays <= _ALL_PAIRS:
        rows, columns = np.triu_indices(essays, k=1)
        return rows.astype(np.int64), columns.astype(np.int64)
    # A step of half the ring would make each of its pairs twice.
    steps = _doubling(below=(essays + 1) // 2)
    first = np.tile(np.arange(essays), len(steps))
    return first, (first + np.repeat(steps, essays)) % essays


def judge(one: Numbers, other: Numbers) -> Numbers:
    """Return the points that each of ``one`` wins against its opposite: per criterion 2 for better, 1 for equal."""
    points: Numbers = ((one > other) * 2.0 + (one == other)).sum(axis=1)
    return points


def strengths(essays: int, first: Indices, second: Indices, won: Numbers, lost: Numbers) -> Numbers:
    """Fit Bradley-Terry strengths by minorization-maximization (Hunter 2004), with a prior of ``_PRIOR``.

    ``first`` won ``won`` points against ``second`` and lost ``lost``; each array has one entry per comparison.
    """

    def each(of_first: Numbers, of_second: Numbers) -> Numbers:
        both = np.bincount(first, of_first, essays) + np.bincount(second, of_second, essays)
        return both.astype(np.float64)  # bincount of nothing, for a single essay, returns integers

    wins = each(won, lost) + _PRIOR
    present = np.ones(essays)
    for _ in range(_ROUNDS):
        met = (won + lost) / (present[first] + present[second])
        better = wins / (each(met, met) + 2 * _PRIOR / (present + 1))
        done = bool(np.all(np.abs(better - present) <= _CLOSE * present))
        present = better
        if done:
            break
    return present


def _doubling(*, below: int) -> Sequence[int]:
    return [2**power for power in range(below.bit_length()) if 2**power < below]
