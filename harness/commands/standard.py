"""The standard scenarios on one system: every one that fits, ``control`` first, and one table of what came of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.commands.places import own_scenarios
from harness.errors import OneffectError, PlanRefused, SystemLacks, UsageError, first_on_purpose
from harness.plan import Plan
from harness.reports.case import Case

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.reports.progress import Board

TAG: Final = "standard"

CONTROL: Final = "control"
"""The scenario without faults."""

COLUMNS: Final = ("scenario", "verdict", "operations", "faults bit", "left out", "found", "time", "run")

_EXIT: Final = {"valid": 0, "unknown": 3, "error": 4, "invalid": 1}
"""Verdict -> exit status, the worst last."""


def files() -> list[Path]:
    """Return the files of the standard scenarios, ``control`` first."""
    from harness.files import load
    from harness.scenario import Scenario

    tagged = [path for path in sorted(own_scenarios().glob("*.yaml")) if TAG in load(path, Scenario).tags]
    return sorted(tagged, key=lambda path: path.stem != CONTROL)


@dataclass(slots=True)
class Standard:
    """The plans of the scenarios that fit, why the others do not, and the cases so far."""

    system: Path
    seed: int
    plans: list[Plan]
    unfit: dict[str, str]
    """Scenario -> why it was not run."""
    cases: list[Case] = field(default_factory=list)

    @classmethod
    def of(  # noqa: PLR0913 - a command's options
        cls, system: Path | None, here: Path, *, variant: str | None, seed: int, stack: str, addresses: Path | None
    ) -> Standard:
        """Plan each standard scenario on the system, by default the one nearest to ``here``."""
        from harness.plan import make_plan, nearest_system

        system = system or nearest_system(here)
        if system is None:
            raise UsageError("there is no system.yaml here or above; name one: --system FILE")
        made = cls(system, seed, [], {})
        for path in files():
            try:
                made.plans.append(
                    make_plan(path, system_path=system, variant=variant, seed=seed, stack=stack, addresses=addresses)
                )
            except SystemLacks as lacks:
                made.unfit[path.stem] = str(lacks).removeprefix(f"{path}: ")
        return made

    async def run(self, out: Path, board: Board, *, keep: bool) -> None:
        """Run ``control``, and if it is valid the others, one after the other on one stack."""
        from harness.commands.run import admitted, kept
        from harness.session.stacks import Stacks

        async with Stacks(out) as stacks:
            for plan in [*self.plans]:
                try:
                    admitted(plan, stacks, keep=keep)
                except PlanRefused as refused:
                    if plan.scenario.name == CONTROL:
                        raise
                    self.unfit[plan.scenario.name] = str(refused)
                    self.plans.remove(plan)
            for plan in self.plans:
                begun = time.monotonic()
                try:
                    with first_on_purpose():
                        self.cases.append(await kept(plan, stacks, board, keep=keep))
                except OneffectError as error:
                    if not self.cases:
                        raise  # nothing of the system has run yet, so the error is all that there is to say
                    seconds = time.monotonic() - begun
                    case = Case(plan.scenario.name, plan.variant, plan.scenario_path, seconds, error=str(error))
                    self.cases.append(case)
                if not self.sound:
                    break

    @property
    def sound(self) -> bool:
        """Whether the system was valid without any fault."""
        return all(case.verdict == "valid" for case in self.cases if case.scenario == CONTROL)

    @property
    def exit_status(self) -> int:
        """That of the worst run; a scenario that does not fit is none."""
        return _EXIT[max((case.verdict for case in self.cases), key=list(_EXIT).index)]

    def tell(self) -> None:
        """Print the table, why scenarios were not run, and what it comes to."""
        from harness.reports import said
        from harness.reports.terminal import console, table
        from harness.reports.untrusted import shown

        printer = console()
        unmade = [plan.scenario.name for plan in self.plans[len(self.cases) :]]
        rows = [_cells(case) for case in self.cases]
        rows += [(name, "not run", *[""] * (len(COLUMNS) - 2)) for name in unmade]
        rows += [(name, "does not fit", *[""] * (len(COLUMNS) - 2)) for name in self.unfit]
        printer.print(table("", COLUMNS, rows))
        for case in self.cases:
            if case.document is None:
                printer.print(shown(f"{case.label}: {case.why}"))
            for words in said.left_out(case.document or {}):
                printer.print(shown(f"{case.label}: left out: {words}"))
        for name, why in self.unfit.items():
            printer.print(shown(f"{name}: {why}"))
        printer.print(shown(self._headline(unmade)))

    def _headline(self, unmade: Sequence[str]) -> str:
        if not self.sound:
            return (
                f"{self.system} is {self.cases[0].verdict} without any fault, so nothing was broken; "
                f"fix that first, then run the others ({', '.join(unmade) or 'none'})"
            )
        count = sum(case.verdict == "valid" for case in self.cases)
        unfit = f", {len(self.unfit)} do not fit" if self.unfit else ""
        return f"{count} of {len(self.cases)} scenarios valid{unfit}; seed {self.seed}"


def _cells(case: Case) -> Sequence[object]:
    from harness.reports import said

    if case.document is None:
        return (case.label, "error", *[""] * 4, f"{case.seconds:.1f} s", "")
    return (
        case.label,
        case.verdict,
        case.document["figures"]["operations"],
        said.bitten(case.document["faults"]),
        len(said.left_out(case.document)) or "nothing",
        case.found or "nothing",
        f"{case.seconds:.1f} s",
        said.run_id(case.directory),
    )
