"""The plan of a run in steps: a system, a seed, and nothing of what will be done to it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

from harness.errors import PlanRefused
from harness.plan import LARGEST_SEED, SystemPlan, plan_system


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsPlan(SystemPlan):
    """A system that is brought up to be loaded and broken in steps, and judged."""

    runs: ClassVar[bool] = True
    name: str
    """Of the test or program, for the run's directory and its reports."""
    again: str
    """The line that repeats it."""

    @property
    def label(self) -> str:
        """``test_outage``, or ``test_outage setnx_only``."""
        return f"{self.name} {self.variant}" if self.variant else self.name

    def about(self) -> dict[str, object]:
        """Further fields for the history's header."""
        return {"again": self.again}


def plan_steps(  # noqa: PLR0913 - what a system is brought up with
    path: Path | None,
    here: Path,
    *,
    variant: str | None,
    seed: int,
    stack: str,
    addresses: Path | None,
    name: str,
    again: str,
) -> StepsPlan:
    """Plan a run in steps of the system at ``path``, else of the nearest to ``here``; UsageError, FileError or PlanRefused."""
    if not 0 <= seed <= LARGEST_SEED:
        raise PlanRefused(f"the seed {seed} is out of range; allowed: 0 to {LARGEST_SEED}")
    plan = plan_system(path, here, variant=variant, stack=stack, seed=seed, addresses=addresses)
    return StepsPlan(**{each.name: getattr(plan, each.name) for each in fields(plan)}, name=name, again=again)
