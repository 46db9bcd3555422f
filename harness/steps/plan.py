"""The plan of a run in steps: a system and a seed; the steps themselves are not planned."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.errors import PlanRefused, UsageError
from harness.faults import fault_type
from harness.plan import LARGEST_SEED, SystemPlan, plan_adopted, plan_system, understood
from harness.stacks.adopted.code import CODE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.addresses import Addresses
    from harness.system import System


Tapped = Literal["all"] | None
"""Which links get a tap: all whose protocol a tap understands, or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsPlan(SystemPlan):
    """A system that is brought up to be loaded and broken in steps, and judged."""

    runs: ClassVar[bool] = True
    name: str
    """The name of the test or program, for the run's directory and its reports."""
    again: str
    """The line that repeats the run."""
    tapped: Tapped
    """Which links get a tap."""

    @property
    def taps(self) -> Mapping[str, str]:
        """The links that get a tap, and the protocol of each."""
        return understood(self.system) if self.tapped is not None else {}

    @property
    def needs_taps(self) -> bool:
        """Whether it requires its taps."""
        return self.tapped is not None

    def target(self, fault: str, on: str) -> str:
        """Return the target of a step's fault; for code that a test starts, a dependency may stand for its link."""
        if self.adopted is None:
            return on
        if on in self.system.dependencies and fault_type(fault).target == "link":
            return f"{CODE}->{on}"
        return next((name for name, topic in self.adopted.names.topics.items() if topic == on), on)

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
    taps: Tapped,
) -> StepsPlan:
    """Plan a run in steps of the system at ``path``, else of the nearest to ``here``; UsageError, FileError or PlanRefused."""
    check_seed(seed)
    plan = plan_system(path, here, variant=variant, stack=stack, seed=seed, addresses=addresses)
    return _in_steps(plan, name, again, taps)


def plan_adopting(  # noqa: PLR0913 - what it is, and what its run is called
    system: System, at: Addresses, path: Path, *, seed: int, name: str, again: str, taps: Tapped
) -> StepsPlan:
    """Plan a run in steps of code that a test starts; see ``plan_adopted``."""
    return _in_steps(plan_adopted(system, at, path, seed=seed), name, again, taps)


def check_seed(seed: int) -> None:
    """Raise PlanRefused for a seed that no plan can have."""
    if not 0 <= seed <= LARGEST_SEED:
        raise PlanRefused(f"the seed {seed} is out of range; allowed: 0 to {LARGEST_SEED}")


def _in_steps(plan: SystemPlan, name: str, again: str, taps: Tapped) -> StepsPlan:
    if taps not in (None, "all"):
        raise UsageError(f'taps={taps!r}: write taps="all", or leave it out')
    known = {each.name: getattr(plan, each.name) for each in fields(plan)}
    if taps is not None:
        known["document"] = {**plan.document, "taps": taps}
    return StepsPlan(**known, name=name, again=again, tapped=taps)
