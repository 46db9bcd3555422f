"""When a candidate counts as breaking: a rule over several runs, since one run may break, or not, by luck."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

_SEEDS = 1_000_000
"""Derived seeds are below this, like those that a command draws."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a candidate: what came out, and where it is."""

    seed: int
    verdict: str
    anomalies: tuple[str, ...]
    directory: str

    def broke(self, wanted: frozenset[str]) -> bool:
        """Whether it is invalid with one of these anomalies. Other anomalies alone show another bug."""
        return self.verdict == "invalid" and not wanted.isdisjoint(self.anomalies)


def needed(broke: int) -> int:
    """Return in how many of n runs a candidate must break if the whole schedule broke in ``broke``: half, rounded up.

    If the whole schedule breaks in one run of three, one of three is enough, so that a flaky break is not thrown away.
    If it breaks in three of three, two are enough, so that one lucky ``valid`` does not keep a needless fault; but a
    candidate that breaks in one of three has lost something that matters. The measure stays the whole schedule, not
    the last candidate, so that a long search does not end at a break that hardly ever occurs.
    """
    return max(1, (broke + 1) // 2)


def decided(ran: Sequence[Ran], wanted: frozenset[str], *, runs: int, least: int) -> bool | None:
    """Tell whether a candidate breaks in ``least`` of ``runs`` runs; None while further runs may decide either way.

    A run that is ``unknown`` shows nothing, and is no break.
    """
    broke = sum(one.broke(wanted) for one in ran)
    if broke >= least:
        return True
    return False if broke + runs - len(ran) < least else None


def seed_of(seed: int, number: int) -> int:
    """Return the seed of a candidate's run, from 0: the broken run's own first, then others derived from it.

    The first gives each candidate the draw with which the whole schedule broke, the cheapest to find a break with. The
    others show that the schedule breaks, not just that draw. All candidates have the same seeds and differ only in
    their schedules. (A fault's own draws also depend on its place among the faults, which a candidate
    with fewer faults changes.)
    """
    if number == 0:
        return seed
    digest = hashlib.sha256(f"{seed}:shrink:{number}".encode()).digest()
    return int.from_bytes(digest[:6]) % _SEEDS
