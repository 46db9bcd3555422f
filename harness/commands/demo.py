"""``oneffect demo``: runs scenarios on the reference and on a deliberately wrong variant."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from harness.commands.options import Out, Seed
from harness.commands.places import own_scenarios, scenario_folder
from harness.commands.run import drawn
from harness.session.directory import out_folder

if TYPE_CHECKING:
    from harness.plan import Plan
    from harness.reports.case import Case
    from harness.reports.progress import Board

VARIANT: Final = "setnx_only"

SCENARIOS: Final = ("redelivery", "redis-outage", "network")

RUNS: Final = (*((name, None) for name in SCENARIOS), *((name, VARIANT) for name in SCENARIOS), ("control", VARIANT))
"""(scenario, variant) in starting order; the longest first, so that the lanes end together."""


def demo(seed: Seed = None, out: Out = None) -> None:
    """Run scenarios on the reference, and on a deliberately wrong variant that must be caught.

    Outside a checkout, it uses the installed scenarios. The reference needs oneffect[native,reference].

    Exit status: 0 if every verdict is the one its scenario expects, 1 if not, 4 the stack could not start,
    130 interrupted.

    For example:

      oneffect demo

      oneffect demo --seed 41
    """
    from harness.commands.interrupt import until_interrupted
    from harness.reports.progress import Board
    from harness.reports.terminal import console

    seed = drawn(seed)
    made = plans(seed)
    printer = console()
    printer.print(f"seed {seed}")
    runs_folder = out_folder(out)
    begun = time.monotonic()
    with Board(console(stderr=True), time.monotonic) as board:
        cases = until_interrupted(_all(made, runs_folder, board), runs_folder)
    _tell(cases)
    as_expected = all(case.as_expected for case in cases)
    printer.print(
        f"{'every verdict is the expected one' if as_expected else 'NOT every verdict is the expected one'}; "
        f"seed {seed}, {time.monotonic() - begun:.0f} s"
    )
    raise typer.Exit(0 if as_expected else 1)


def plans(seed: int) -> list[Plan]:
    """Plan every run of the demo, from the nearest ``scenarios/`` if it has them all, else from the harness's own."""
    from harness.plan import make_plan

    near = scenario_folder(Path.cwd())
    complete = near is not None and all((near / f"{name}.yaml").is_file() for name, _ in RUNS)
    folder = near if near is not None and complete else own_scenarios()
    return [
        make_plan(folder / f"{name}.yaml", system_path=None, variant=variant, seed=seed, stack="auto")
        for name, variant in RUNS
    ]


async def _all(plans: Sequence[Plan], out: Path, board: Board) -> list[Case]:
    from harness.commands.lanes import in_lanes, run_case

    return await in_lanes(plans, out, lambda plan, stacks: run_case(plan, stacks, board))


def _tell(cases: Sequence[Case]) -> None:
    from harness.reports.case import COLUMNS
    from harness.reports.terminal import console, stories, table, tell

    console().print(table("", COLUMNS, [case.cells() for case in cases]))
    for case in cases:
        if case.document is None:
            continue
        if not case.as_expected:
            tell(case.report())
        elif case.verdict == "invalid":
            tell(stories(case.document, case.directory))
