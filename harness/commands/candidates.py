"""Runs candidates on one warm stack, and keeps what came out: the oracle of a reduction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import FileError, OneffectError, PlanRefused, first_on_purpose
from harness.shrink.candidate import Candidate
from harness.shrink.reduction import with_row
from harness.shrink.rule import Ran, decided, needed, seed_of

if TYPE_CHECKING:
    from harness.commands.broken import Broken
    from harness.plan import Plan
    from harness.reports.case import Case
    from harness.reports.progress import Board
    from harness.session.stacks import Stacks
    from harness.shrink.judged import Judged


@dataclass(frozen=True, slots=True)
class Found:
    """The smallest candidate with its last runs, and whether the search was completed."""

    smallest: Candidate
    ran: Sequence[Ran]
    complete: bool


class OverBudget(Exception):
    """The search may begin no further run."""


class Candidates:
    """Judges candidates in up to ``runs`` runs each; runs that were kept are not made again.

    ``breaks`` and ``offers`` raise OverBudget once ``budget`` seconds have passed since the first call of ``breaks``.
    """

    def __init__(  # noqa: PLR0913 - the parts of a search
        self,
        broken: Broken,
        judged: Judged,
        stacks: Stacks,
        board: Board,
        *,
        runs: int,
        budget: float | None,
    ) -> None:
        self._broken, self._judged, self._stacks, self._board = broken, judged, stacks, board
        self._runs, self._budget = runs, budget
        self._least = 1
        self._deadline: float | None = None

    async def whole(self, candidate: Candidate) -> list[Ran]:
        """Run the whole schedule, whose runs set how often its parts must break; return its runs."""
        ran = [await self._ran(candidate, number) for number in range(self._runs)]
        broke = self._broke(ran)
        self._least = needed(broke)
        self._say(candidate, f"breaks in {broke} of {len(ran)} runs{self._others(ran)}")
        return ran

    async def breaks(self, candidate: Candidate) -> bool:
        """Tell whether a candidate breaks (``harness.shrink.rule``); what cannot be planned does not."""
        if self._deadline is None and self._budget is not None:
            self._deadline = time.monotonic() + self._budget
        entry = self._judged.entry(candidate)
        ran: list[Ran] = []
        answer = None
        while answer is None and not entry.refused:
            try:
                ran.append(await self._ran(candidate, len(ran), self._deadline))
            except (PlanRefused, FileError) as refused:
                entry.refused = str(refused)
                self._judged.keep()
            answer = decided(ran, self._broken.anomalies, runs=self._runs, least=self._least)
        said = f"{'breaks' if answer else 'does not break'}, in {self._broke(ran)} of {len(ran)} runs"
        self._say(candidate, f"cannot be run: {entry.refused}" if entry.refused else said + self._others(ran))
        return bool(answer)

    async def offers(self, candidate: Candidate) -> list[Candidate]:
        """Return candidates in which a fault that struck a replica at work acts at a message instead of a time.

        A run of the candidate with a tap on every link that taps can parse shows what the replica waited for; on a
        stack without taps there are no such candidates.
        """
        from harness.history.reader import History
        from harness.shrink.in_hand import STRIKES, in_hand

        rows = {n: row for n, row in enumerate(candidate.faults) if row.fault in STRIKES and row.when is None}
        history = await self._tapped(candidate) if rows else None
        if history is None:
            return []
        with History(history) as recorded:
            return [
                with_row(candidate, place, row.model_copy(update={"at": None, "when": when}))
                for place, row in rows.items()
                for when in in_hand(recorded, row)
            ]

    async def _tapped(self, candidate: Candidate) -> Path | None:
        """Return the history of a tapped run in which the candidate broke."""
        tapped = replace(candidate, taps="all")
        for number in range(self._runs):
            try:
                ran = await self._ran(tapped, number, self._deadline)
            except (PlanRefused, FileError) as refused:
                self._board.say(f"no moment can become a message: {refused}")
                return None
            if ran.broke(self._broken.anomalies):
                history = Path(ran.directory) / "history.jsonl"
                return history if history.is_file() else None
        return None

    async def last(self, candidate: Candidate) -> list[Ran]:
        """Run the smallest candidate ``runs`` times more, with new seeds; return these runs.

        It was chosen because it broke, so only runs after the choice show how often it breaks.
        """
        return [await self._ran(candidate, number) for number in range(self._runs, 2 * self._runs)]

    async def _ran(self, candidate: Candidate, number: int, deadline: float | None = None) -> Ran:
        entry = self._judged.entry(candidate)
        seed = seed_of(self._broken.seed, number)
        if (kept := next((ran for ran in entry.ran if ran.seed == seed), None)) is not None:
            return kept
        if deadline is not None and time.monotonic() >= deadline:
            raise OverBudget
        plan = self._broken.plan(candidate, entry.number, seed)
        # Checked here, since an error in a run costs the warm stack.
        self._stacks.admit(plan)
        case = await self._made(plan)
        ran = Ran(seed, case.verdict, tuple(sorted(case.anomalies)), str(case.directory))
        entry.ran.append(ran)
        self._judged.keep()
        return ran

    async def _made(self, plan: Plan) -> Case:
        """Make a run; if that fails, try once more on a new stack, so that one failure does not end a long search."""
        try:
            return await self._once(plan)
        except PlanRefused:
            raise
        except OneffectError as error:
            said = str(error).partition("\n")[0]
            self._board.say(f"{plan.label}: could not be run, and is tried once more: {said}")
        return await self._once(plan)

    async def _once(self, plan: Plan) -> Case:
        from harness.run import execute

        line = self._board.line(plan.label)
        try:
            with first_on_purpose():
                return await execute(plan, self._stacks, progress=line)
        finally:
            line.done()

    def _say(self, candidate: Candidate, what: str) -> None:
        from harness.reports.untrusted import shown

        number = self._judged.entry(candidate).number
        self._board.say(shown(f"{self._broken.label}, candidate {number}: {candidate.size}: {what}"))

    def _broke(self, ran: Sequence[Ran]) -> int:
        return sum(one.broke(self._broken.anomalies) for one in ran)

    def _others(self, ran: Sequence[Ran]) -> str:
        """Say what came out of the runs that did not break."""
        others = sorted({_came_out(one) for one in ran if not one.broke(self._broken.anomalies)})
        return f" (else {', '.join(others)})" if others else ""


def _came_out(ran: Ran) -> str:
    return f"invalid with {', '.join(ran.anomalies)} only" if ran.verdict == "invalid" else ran.verdict
