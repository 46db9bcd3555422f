"""Several runs at once, each lane on its own warm stack: a run mostly waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from harness.plan import Plan
    from harness.reports.case import Case
    from harness.reports.progress import Board
    from harness.session.stacks import Stacks

LANES: Final = 2


async def in_lanes(plans: Sequence[Plan], out: Path, one: Callable[[Plan, Stacks], Awaitable[Case]]) -> list[Case]:
    """Call ``one`` for each plan, and return the cases in the plans' order; a free lane takes the next plan.

    PlanRefused, before anything starts, if a stack cannot perform a plan's faults.
    """
    from harness.session.stacks import Stacks

    waiting = iter(list(enumerate(plans)))
    cases: dict[int, Case] = {}
    admitted: set[object] = set()

    async def lane() -> None:
        async with Stacks(out, admitted) as stacks:
            for plan in plans:
                stacks.admit(plan)
            for place, plan in waiting:
                cases[place] = await one(plan, stacks)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(LANES, len(plans))):
            group.create_task(lane())
    return [cases[place] for place in range(len(plans))]


async def run_case(plan: Plan, stacks: Stacks, board: Board) -> Case:
    """Run a plan on a warm stack, with a line of its own on the board."""
    from harness.run import execute

    line = board.line(plan.label)
    try:
        case = await execute(plan, stacks, progress=line)
    finally:
        line.done()
    board.say(f"{plan.label}: {case.verdict}{'' if case.as_expected else ', NOT as expected'}")
    return case
