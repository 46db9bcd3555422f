"""A gate's results so far, written after each run, as a gate may be killed before its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness.errors import FileError
from harness.reports.case import Case

if TYPE_CHECKING:
    from harness.commands.outputs import Outputs
    from harness.plan import Plan


class Made:
    """The runs that a gate has made so far."""

    def __init__(self, plans: Sequence[Plan], outputs: Outputs, seed: int) -> None:
        self.plans, self.seed, self.started = plans, seed, datetime.now(UTC)
        self._outputs = outputs
        self._cases: dict[str, Case] = {}
        self._writing = asyncio.Lock()

    async def add(self, case: Case) -> None:
        """Add a run and write the outputs."""
        self._cases[case.label] = case
        async with self._writing:
            # In a thread: writing must not delay the load of another run on this loop.
            await asyncio.to_thread(self._keep)

    def _keep(self) -> None:
        # A file that still cannot be written at the end is reported then.
        with suppress(FileError):
            why = self.broken_off("the gate has not ended")
            self._outputs.files.keep(
                self.all(why), seed=self.seed, started=self.started, headline=why, broken_off=why
            )

    @property
    def cases(self) -> list[Case]:
        """The cases so far, in the plans' order."""
        return [self._cases[plan.label] for plan in self.plans if plan.label in self._cases]

    def all(self, why: str) -> list[Case]:
        """Return the cases so far, and for every other plan a case that says why it was not run."""
        return [
            self._cases.get(plan.label)
            or Case(plan.scenario.name, plan.variant, plan.scenario_path, 0.0, error=f"was not made; {why}")
            for plan in self.plans
        ]

    def broken_off(self, how: str) -> str:
        """Return ``how``, with the number of runs not made."""
        return f"{how}: {len(self.plans) - len(self._cases)} of {len(self.plans)} runs were not made"

    def write(self, cases: Sequence[Case], headline: str, *, broken_off: bool) -> None:
        """Write every requested output."""
        why = headline if broken_off else ""
        self._outputs.write(cases, seed=self.seed, started=self.started, headline=headline, broken_off=why)
