"""``oneffect run``: executes scenarios and judges them."""

from __future__ import annotations

import time
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Annotated, Final

import typer

from harness.commands.options import Addresses, Out, Seed, StackName, SystemFile, Variant
from harness.commands.places import scenario
from harness.errors import UsageError
from harness.session.directory import out_folder
from harness.stack import Keeping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.plan import Plan
    from harness.reports.case import Case
    from harness.reports.progress import Board
    from harness.session.stacks import Stacks
    from harness.stack import Stack

EXIT: Final = {"valid": 0, "unknown": 3, "invalid": 1}
"""Verdict -> exit code, the worst last, which decides for several runs."""


def run(  # noqa: PLR0913, PLR0917 - one parameter for each option
    scenarios: Annotated[
        list[str], typer.Argument(metavar="SCENARIO", help="Scenario files, or names of files in scenarios/.")
    ],
    system: SystemFile = None,
    variant: Variant = None,
    seed: Seed = None,
    stack: StackName = "auto",
    addresses: Addresses = None,
    out: Out = None,
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the data of services and stores in each run directory, unredacted.")
    ] = False,
) -> None:
    """Run scenarios and judge the recorded histories.

    With --keep each run has a stack of its own, whose data stay: databases, Redis' files, everything services wrote.
    Secrets in them are not redacted.

    Exit status: 0 valid, 1 invalid, 2 a wrong argument or file, 3 unknown, 4 the stack could not start, 130 interrupted.

    For example:

      oneffect run redelivery

      oneffect run redelivery redis-outage --seed 41

      oneffect run redis-outage --variant setnx_only

      oneffect run ./mine.yaml --system ./system.yaml --out ./runs

      oneffect run ./mine.yaml --addresses ./staging.yaml

      oneffect run redelivery --keep
    """
    from harness.commands.interrupt import until_interrupted
    from harness.plan import make_plan
    from harness.reports.progress import Board
    from harness.reports.terminal import console

    seed = drawn(seed)
    here = Path.cwd()
    plans = [
        make_plan(
            scenario(name, here), system_path=system, variant=variant, seed=seed, stack=stack, addresses=addresses
        )
        for name in scenarios
    ]
    console().print(f"seed {seed}")
    folder = out_folder(out)
    with Board(console(stderr=True), time.monotonic) as board:
        cases = until_interrupted(_all(plans, folder, board, keep=keep), folder)
    raise typer.Exit(EXIT[max((case.verdict for case in cases), key=list(EXIT).index)])


def drawn(seed: int | None) -> int:
    """Return the given seed, or draw one."""
    return SystemRandom().randrange(1, 1_000_000) if seed is None else seed


async def _all(plans: Sequence[Plan], out: Path, board: Board, *, keep: bool) -> list[Case]:
    from harness.reports.terminal import console
    from harness.reports.untrusted import shown
    from harness.session.stacks import Stacks

    cases = []
    async with Stacks(out) as stacks:
        for plan in plans:
            stack = stacks.admit(plan)
            if keep:
                _keeping(stack)
        for plan in plans:
            stack = stacks.admit(plan)
            if keep:
                _keeping(stack).keeps = True
            cases.append(case := await reported(plan, stacks, board))
            if keep:
                # The stores' files belong to the run too, and are complete once the stores have exited.
                await stacks.drop(plan)
                with board.aside():
                    console().print(f"data: {case.directory / 'data'}")
                    for what in _keeping(stack).unkept:
                        console().print(f"  not kept: {shown(what)}")
    return cases


async def reported(plan: Plan, stacks: Stacks, board: Board) -> Case:
    """Run a plan and print its report."""
    from harness.reports import terminal
    from harness.run import execute

    line = board.line(plan.label)
    begun = time.monotonic()
    case = await execute(plan, stacks, progress=line)
    line.done()
    with board.aside():
        terminal.tell(case.report(terminal.in_all(time.monotonic() - begun)))
    return case


def _keeping(stack: Stack) -> Keeping:
    if not isinstance(stack, Keeping):
        raise UsageError(f"--keep: the {stack.name} stack removes nothing; its data stay where they are")
    return stack
