"""The reduction: fewer rows, shorter windows, smaller load, narrower targets, messages for moments, while it breaks."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from harness.checkers.evidence import ENOUGH_ACKNOWLEDGED
from harness.faults import fault_type
from harness.faults.condition import for_target
from harness.faults.targets import resolve
from harness.scenario import AgainLine, FaultLine, LoadShape
from harness.shrink.candidate import Candidate
from harness.shrink.ddmin import ddmin
from harness.system import System

R = TypeVar("R", FaultLine, AgainLine)

Breaks = Callable[[Candidate], Awaitable[bool]]
"""Tells whether a candidate still breaks the system; asked once about each."""

Offers = Callable[[Candidate], Awaitable[Sequence[Candidate]]]
"""Offers candidates in which a message replaces one moment of the clock, likeliest first."""

SHORTEST: Final = 0.1
"""Shortest window in seconds: injecting and healing take about as long."""

FEWEST: Final = ENOUGH_ACKNOWLEDGED + ENOUGH_ACKNOWLEDGED // 2
"""Uploads in the smallest load.

A run with too few acknowledged uploads is unknown, so it could never show that a repair works. The margin is for
uploads that stay unanswered.
"""


class Reduction:
    """Reduces a candidate that breaks, and asks an oracle about each step; knows nothing of runs.

    ``smallest`` is the smallest candidate so far that breaks, also after the oracle has raised.
    """

    def __init__(self, whole: Candidate, system: System, breaks: Breaks, offers: Offers | None = None) -> None:
        self.smallest = whole
        self._system, self._oracle, self._offers = system, breaks, offers
        self._known = {whole.identity: True}

    async def reduce(self) -> Candidate:
        """Return a part of the whole that breaks, but not with any single row left out.

        Nor does it break with a window or the load halved, or on fewer targets, as far as earlier candidates showed.
        A row may be needed only with a large load, or only because it made another row's moment likely: so the rows
        are tried again in the end.
        """
        await self._rows()
        while True:
            await self._windows()
            await self._load()
            await self._targets()
            before = self.smallest
            await self._messages()
            await self._rows()
            if self.smallest == before:
                return self.smallest

    async def _breaks(self, candidate: Candidate) -> bool:
        identity = candidate.identity
        if identity not in self._known:
            self._known[identity] = await self._oracle(candidate)
        if self._known[identity]:
            self.smallest = candidate
        return self._known[identity]

    async def _rows(self) -> None:
        whole = self.smallest
        # First without any: what breaks without a fault needs none.
        if whole.rows and not await self._breaks(whole.only([])):
            await ddmin(whole.rows, lambda rows: self._breaks(whole.only(rows)))

    async def _windows(self) -> None:
        for place, row in enumerate(self.smallest.faults):
            base = self.smallest

            def shorter(
                seconds: float, base: Candidate = base, place: int = place, row: FaultLine = row
            ) -> Candidate:
                return with_row(base, place, row.model_copy(update={"lasts": round(seconds, 3)}))

            await self._lower(row.lasts or 0.0, SHORTEST, shorter)

    async def _load(self) -> None:
        base = self.smallest
        await self._lower(base.load.uploads, FEWEST, lambda uploads: _with_load(base, round(uploads)))

    async def _lower(self, value: float, least: float, made: Callable[[float], Candidate]) -> None:
        """Lower a value to ``least`` at once, or else halve it as long as it still breaks."""
        if value <= least or await self._breaks(made(least)):
            return
        while value / 2 > least and await self._breaks(made(value / 2)):
            value /= 2

    async def _targets(self) -> None:
        for place in range(len(self.smallest.faults)):
            while await self._narrower(place):
                pass

    async def _narrower(self, place: int) -> bool:
        base = self.smallest
        row = base.faults[place]
        for on in narrower(row, self._system):
            if await self._breaks(with_row(base, place, for_target(row, on, self._system))):
                return True
        return False

    async def _messages(self) -> None:
        if self._offers is None:
            return
        base = self.smallest
        offers = await self._offers(base)
        # First alone: next to other rows, which may suffice to break, almost any message seems to break too.
        alone = [offer.only([row for row in offer.rows if row not in base.rows]) for offer in offers]
        for offer in (*alone, *offers):
            if await self._breaks(offer):
                return


def narrower(row: FaultLine, system: System) -> Sequence[str]:
    """Return the next narrower targets of a row: each of several services, else each replica; none for a single target.

    PlanRefused if the system does not have the row's target.
    """
    names = resolve(fault_type(row.fault).target, row.on or "", system)
    services = list(dict.fromkeys(re.sub(r"#\d+", "", name) for name in names))
    if len(names) == 1:
        return []
    return services if len(services) > 1 else names


def with_row(candidate: Candidate, place: int, row: FaultLine) -> Candidate:
    """Return a copy in which ``row`` replaces the fault at ``place``."""
    faults = (*candidate.faults[:place], row, *candidate.faults[place + 1 :])
    return replace(candidate, faults=faults)


def _with_load(candidate: Candidate, uploads: int) -> Candidate:
    """Return a copy with this many uploads, in whole batches; moments in seconds scale with the load's length."""
    load = LoadShape.model_validate({**candidate.load.model_dump(), "uploads": uploads})
    share = load.uploads / candidate.load.uploads
    faults = tuple(_moved(row, share) for row in candidate.faults)
    return replace(candidate, load=load, faults=faults, again=tuple(_moved(row, share) for row in candidate.again))


def _moved(row: R, share: float) -> R:
    return row.model_copy(update={"at": round(row.at * share, 3)}) if isinstance(row.at, float) else row
