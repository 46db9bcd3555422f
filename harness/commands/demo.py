"""``oneffect demo``: the main job, on the reference and on a variant that is wrong on purpose."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from harness.commands.options import Out, Seed
from harness.commands.places import out_folder, scenario_folder
from harness.commands.run import drawn
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.commands.warm import WarmStacks
    from harness.plan import Plan
    from harness.reports.progress import Board

VARIANT: Final = "setnx_only"

SCENARIOS: Final = ("redelivery", "redis-outage", "network")

RUNS: Final = (*((name, None) for name in SCENARIOS), *((name, VARIANT) for name in SCENARIOS), ("control", VARIANT))
"""(scenario, variant), in the order in which they begin; the longest first, so that the lanes end together."""

LANES: Final = 2
"""Runs at once, each lane on a warm stack of its own: most of a run is waiting."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One run of the demo."""

    label: str
    directory: Path
    seconds: float
    document: Mapping[str, Any]


def demo(seed: Seed = None, out: Out = None) -> None:
    """Run the scenarios on the reference, and on a variant that is wrong on purpose and must be found out.

    Exit status: 0 if every verdict is the one its scenario expects, 1 if not, 4 the stack could not start,
    130 interrupted.

    For example:

      oneffect demo

      oneffect demo --seed 41
    """
    from harness.commands.interrupt import until_interrupted
    from harness.plan import make_plan
    from harness.reports.progress import Board
    from harness.reports.terminal import console

    folder = scenario_folder(Path.cwd())
    if folder is None or not all((folder / f"{name}.yaml").is_file() for name, _ in RUNS):
        raise UsageError(
            "the demo needs the project's own scenarios/ folder, here or above; go to a checkout of the project"
        )
    seed = drawn(seed)
    plans = [
        make_plan(folder / f"{name}.yaml", system_path=None, variant=variant, seed=seed, stack="auto")
        for name, variant in RUNS
    ]
    printer = console()
    printer.print(f"seed {seed}")
    runs_folder = out_folder(out)
    begun = time.monotonic()
    with Board(console(stderr=True), time.monotonic) as board:
        runs = until_interrupted(_all(plans, runs_folder, board), runs_folder)
    _tell(runs)
    as_expected = all(run.document["as_expected"] for run in runs)
    printer.print(
        f"{'every verdict is the expected one' if as_expected else 'NOT every verdict is the expected one'}; "
        f"seed {seed}, {time.monotonic() - begun:.0f} s"
    )
    raise typer.Exit(0 if as_expected else 1)


async def _all(plans: Sequence[Plan], out: Path, board: Board) -> list[Shown]:
    """Every plan's run, in the plans' order; each lane takes the next plan that none has begun."""
    from harness.commands.warm import WarmStacks

    waiting = iter(list(enumerate(plans)))
    shown: dict[int, Shown] = {}

    async def lane() -> None:
        async with WarmStacks(out) as stacks:
            for place, plan in waiting:
                shown[place] = await _one(plan, stacks, out, board)

    async with asyncio.TaskGroup() as group:
        for _ in range(LANES):
            group.create_task(lane())
    return [shown[place] for place in range(len(plans))]


async def _one(plan: Plan, stacks: WarmStacks, out: Path, board: Board) -> Shown:
    from harness.reports import document
    from harness.run import run as execute

    line = board.line(plan.label)
    stack = await stacks.of(plan, line)
    begun = time.monotonic()
    result = await execute(plan, out=out, stack=stack, progress=line)
    line.done()
    found = document.read(result.directory)
    board.say(f"{plan.label}: {found['verdict']}{'' if found['as_expected'] else ', NOT as expected'}")
    return Shown(plan.label, result.directory, time.monotonic() - begun, found)


def _tell(runs: Sequence[Shown]) -> None:
    from harness.reports.terminal import console, report, stories, table

    printer = console()
    columns = ("scenario", "system", "verdict", "expected", "operations", "faults bitten", "found", "seconds", "run")
    printer.print(table("", columns, [_row(run) for run in runs]))
    for run in runs:
        if not run.document["as_expected"]:
            for text in report(run.document, run.directory):
                printer.print(text)
        elif run.document["verdict"] == "invalid":
            for text in stories(run.document, run.directory):
                printer.print(text)


def _row(run: Shown) -> Sequence[object]:
    found, faults = run.document, run.document["faults"]
    counts = [f"{name} {anomaly['count']}" for one in found["findings"] for name, anomaly in one["anomalies"].items()]
    return (
        run.label.partition(" ")[0],
        found["variant"] or "reference",
        found["verdict"],
        found["expected"]["verdict"],
        found["figures"]["operations"],
        f"{sum('bit' in fault for fault in faults)} of {len(faults)}" if faults else "none",
        ", ".join(counts) or "nothing",
        f"{run.seconds:.1f}",
        run.directory.name,
    )
