"""``oneffect run``: executes scenarios and judges them."""

from __future__ import annotations

import time
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Annotated, Final

import typer

from harness.commands.options import Addresses, Out, Seed, StackName, SystemFile
from harness.commands.places import out_folder, scenario
from harness.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.plan import Plan
    from harness.reports.progress import Board
    from harness.run import Result

EXIT: Final = {Verdict.VALID: 0, Verdict.UNKNOWN: 3, Verdict.INVALID: 1}
"""Exit codes; of several runs the worst verdict's."""


def run(  # noqa: PLR0913, PLR0917 - one parameter an option
    scenarios: Annotated[
        list[str], typer.Argument(metavar="SCENARIO", help="Scenario files, or names of files in scenarios/.")
    ],
    system: SystemFile = None,
    variant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Run the system with this deliberate flaw.")
    ] = None,
    seed: Seed = None,
    stack: StackName = "auto",
    addresses: Addresses = None,
    out: Out = None,
) -> None:
    """Execute scenarios and judge what was recorded.

    Exit status: 0 valid, 1 invalid, 2 a wrong word or file, 3 unknown, 4 the stack could not start, 130 interrupted.

    For example:

      oneffect run redelivery

      oneffect run redelivery redis-outage --seed 41

      oneffect run redis-outage --variant setnx_only

      oneffect run ./mine.yaml --system ./system.yaml --out ./runs

      oneffect run ./mine.yaml --addresses ./staging.yaml
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
        results = until_interrupted(_all(plans, folder, board), folder)
    raise typer.Exit(EXIT[max(result.verdict for result in results)])


def drawn(seed: int | None) -> int:
    """The seed that was given, or a new one."""
    return SystemRandom().randrange(1, 1_000_000) if seed is None else seed


async def _all(plans: Sequence[Plan], out: Path, board: Board) -> list[Result]:
    from harness.commands.warm import WarmStacks
    from harness.reports import document, terminal
    from harness.run import run as execute

    results = []
    printer = terminal.console()
    async with WarmStacks(out) as stacks:
        for plan in plans:
            stacks.admit(plan)
        for plan in plans:
            line = board.line(plan.label)
            result = await execute(plan, out=out, stack=await stacks.of(plan, line), progress=line)
            line.done()
            with board.aside():
                for text in terminal.report(document.read(result.directory), result.directory):
                    printer.print(text)
            results.append(result)
    return results
