"""Several runs at once, each lane on a warm stack of its own: most of a run is waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from harness.commands.warm import WarmStacks
    from harness.plan import Plan
    from harness.reports.case import Case
    from harness.reports.progress import Board

LANES: Final = 2


async def in_lanes(
    plans: Sequence[Plan], out: Path, one: Callable[[Plan, WarmStacks], Awaitable[Case]]
) -> list[Case]:
    """``one`` of each plan, in the plans' order; each lane takes the next plan that none has begun.

    What the stacks cannot do is refused before anything starts.
    """
    from harness.commands.warm import WarmStacks

    waiting = iter(list(enumerate(plans)))
    cases: dict[int, Case] = {}

    async def lane() -> None:
        async with WarmStacks(out) as stacks:
            for plan in plans:
                stacks.admit(plan)
            for place, plan in waiting:
                cases[place] = await one(plan, stacks)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(LANES, len(plans))):
            group.create_task(lane())
    return [cases[place] for place in range(len(plans))]


async def run_case(plan: Plan, stacks: WarmStacks, out: Path, board: Board) -> Case:
    """One run on a warm stack, and what its verdict.json says."""
    from harness.reports import document
    from harness.reports.case import Case
    from harness.run import run

    line = board.line(plan.label)
    try:
        stack = await stacks.of(plan, line)
        begun = time.monotonic()
        result = await run(plan, out=out, stack=stack, progress=line)
    finally:
        line.done()
    found = document.read(result.directory)
    board.say(f"{plan.label}: {found['verdict']}{'' if found['as_expected'] else ', NOT as expected'}")
    return Case(
        plan.scenario.name,
        plan.variant,
        plan.scenario_path,
        time.monotonic() - begun,
        directory=result.directory,
        document=found,
    )
