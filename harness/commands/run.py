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
from harness.stack import Keeping, Stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.plan import Plan
    from harness.reports.case import Case
    from harness.reports.progress import Board
    from harness.session.stacks import Stacks

EXIT: Final = {"valid": 0, "unknown": 3, "invalid": 1}
"""Verdict -> exit code, the worst last, which decides for several runs."""


def run(  # noqa: PLR0913, PLR0917 - one parameter for each option
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SCENARIO]...", help="Names of scenarios (oneffect list scenarios), or files."),
    ] = None,
    system: SystemFile = None,
    variant: Variant = None,
    seed: Seed = None,
    stack: StackName = "auto",
    addresses: Addresses = None,
    out: Out = None,
    *,
    every: Annotated[
        bool,
        typer.Option("--all", help="The first thing to do with a system: run every standard scenario that fits it."),
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the data of services and stores in each run directory, unredacted.")
    ] = False,
) -> None:
    """Run scenarios and judge the recorded histories.

    A scenario written with roles (consumers, front, redis) fits any system: with --system, what that system lacks is left
    out, and the result says so. With --all, `control` comes first: if the system is not valid without any fault, nothing is
    broken.

    With --keep each run has a stack of its own, whose data stay: databases, Redis' files, everything services wrote.
    Secrets in them are not redacted.

    Exit status, of the worst run: 0 valid, 1 invalid, 2 a wrong argument or file, 3 unknown, 4 the stack could not start,
    130 interrupted.

    For example:

      oneffect run --all --system ./system.yaml

      oneffect run redelivery --system ./system.yaml

      oneffect run redelivery redis-outage --seed 41

      oneffect run redis-outage --variant setnx_only

      oneffect run ./mine.yaml --system ./system.yaml --out ./runs

      oneffect run ./mine.yaml --addresses ./staging.yaml

      oneffect run redelivery --keep
    """
    from harness.commands.interrupt import until_interrupted
    from harness.commands.standard import Standard
    from harness.plan import make_plan
    from harness.reports.progress import Board
    from harness.reports.terminal import console

    if bool(scenarios) == every:
        raise UsageError("name scenarios (oneffect list scenarios), or write --all")
    seed = drawn(seed)
    here = Path.cwd()
    folder = out_folder(out)
    if every:
        standard = Standard.of(system, here, variant=variant, seed=seed, stack=stack, addresses=addresses)
        console().print(f"seed {seed}")
        with Board(console(stderr=True), time.monotonic) as board:
            until_interrupted(standard.run(folder, board, keep=keep), folder)
        standard.tell()
        raise typer.Exit(standard.exit_status)
    plans = [
        make_plan(
            scenario(name, here, system),
            system_path=system,
            variant=variant,
            seed=seed,
            stack=stack,
            addresses=addresses,
        )
        for name in scenarios or ()
    ]
    console().print(f"seed {seed}")
    for plan in plans:
        if system is None:
            tell_system(plan, here)
        tell_roles(plan)
    with Board(console(stderr=True), time.monotonic) as board:
        cases = until_interrupted(_all(plans, folder, board, keep=keep), folder)
    raise typer.Exit(EXIT[max((case.verdict for case in cases), key=list(EXIT).index)])


def tell_system(plan: Plan, here: Path) -> None:
    """Print on which system a scenario runs, if a system file lies nearer to ``here``: a reader would take it for that one."""
    from harness.plan import nearest_system
    from harness.reports.terminal import console
    from harness.reports.untrusted import shown

    near = nearest_system(here)
    if near is not None and near.resolve() != plan.system_path.resolve():
        named = f"{plan.label}: runs on {plan.system_path}, not on {near}; if you mean that one, add --system {near}"
        console().print(shown(named), style="yellow")


def tell_roles(plan: Plan) -> None:
    """Print what the roles in a scenario stand for on this system, and what it lacks."""
    from harness.reports.terminal import console
    from harness.reports.untrusted import shown

    for role, names in plan.roles.items():
        console().print(shown(f"{plan.label}: {role} is {', '.join(names)}"), style="dim")
    for one in plan.left_out:
        console().print(shown(f"{plan.label}: left out: {one.said}"), style="yellow")


def drawn(seed: int | None) -> int:
    """Return the given seed, or draw one."""
    return SystemRandom().randrange(1, 1_000_000) if seed is None else seed


async def _all(plans: Sequence[Plan], out: Path, board: Board, *, keep: bool) -> list[Case]:
    from harness.session.stacks import Stacks

    async with Stacks(out) as stacks:
        for plan in plans:
            admitted(plan, stacks, keep=keep)
        return [await kept(plan, stacks, board, keep=keep) for plan in plans]


def admitted(plan: Plan, stacks: Stacks, *, keep: bool) -> None:
    """Raise PlanRefused if the plan's stack, which need not run yet, cannot do what the plan wants; UsageError for ``keep``."""
    stack = stacks.admit(plan)
    if keep:
        _keeping(stack)


async def kept(plan: Plan, stacks: Stacks, board: Board, *, keep: bool) -> Case:
    """Run a plan and print its report; with ``keep``, on a stack of its own, whose data stay."""
    from harness.reports.terminal import console
    from harness.reports.untrusted import shown

    stack = stacks.admit(plan)
    if not keep:
        return await reported(plan, stacks, board)
    _keeping(stack).keeps = True
    case = await reported(plan, stacks, board)
    # The stores' files belong to the run too, and are complete once the stores have exited.
    await stacks.drop(plan)
    with board.aside():
        console().print(f"data: {case.directory / 'data'}")
        for what in _keeping(stack).unkept:
            console().print(f"  not kept: {shown(what)}")
    return case


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
