"""``oneffect calibrate``: whether failure can be seen on a system."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from harness.commands.options import Addresses, Out, Seed, StackName
from harness.commands.places import own_scenarios
from harness.commands.places import scenario as place
from harness.commands.run import EXIT, drawn
from harness.errors import UsageError
from harness.session.directory import out_folder, require_writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.calibrate.calibrating import Calibrating
    from harness.calibration import Told
    from harness.plan import Plan
    from harness.reports.case import Case
    from harness.reports.progress import Board

UNSEEN: Final = 3
"""Exit status if something cannot be seen: a run of the system is then ``unknown``."""

WORDS: Final = {"seen": "seen", "unseen": "CANNOT BE SEEN", "not_tried": "not tried"}

MEANING: Final = {
    "lost": "an effect that was lost",
    "duplicate": "an effect that is there twice",
    "total": "a total that is wrong",
    "raw_different": "a raw blob that was changed",
    "held_back": "a consumer held back",
    "two_ids": "one fact under two ids",
    "dead_letter": "a dead letter",
}


def calibrate(  # noqa: PLR0913, PLR0917 - one parameter for each option
    system: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The system file; default: the nearest system.yaml upward.")
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A scenario without faults for the load; default: the standard control."),
    ] = None,
    seed: Seed = None,
    stack: StackName = "auto",
    addresses: Addresses = None,
    out: Out = None,
) -> None:
    """Plant failures in a system, and check that each of them is seen.

    It runs a load without faults, which must be valid. In copies of the services' data it then deletes an effect, copies
    one, raises a total, and flips a bit of a blob. On the running system it pauses the consumers, publishes a fact under a
    second id, and publishes a malformed record. Each of these must be found.

    The answers are kept beside the system file, in system.calibration.json. What was planted and not found makes every run of
    that system unknown (cannot_be_seen), until the part of the system file that it depends on changes.

    Exit status: 0 all that could be planted is seen, 1 the system is invalid without anything planted, 2 a wrong argument or
    file, 3 something cannot be seen, or the run was unknown, 4 the stack could not start, 130 interrupted.

    For example:

      oneffect calibrate

      oneffect calibrate --system ./system.yaml

      oneffect calibrate --system ./system.yaml --scenario ./batches-without-faults.yaml
    """
    from harness import calibration
    from harness.calibrate.calibrating import Calibrating
    from harness.commands.interrupt import until_interrupted
    from harness.files import load
    from harness.plan import make_plan, nearest_system
    from harness.reports.progress import Board
    from harness.reports.terminal import console
    from harness.reports.untrusted import shown
    from harness.system import System

    here = Path.cwd()
    system = system or nearest_system(here)
    if system is None:
        raise UsageError("there is no system.yaml here or above; name one: --system FILE")
    path = place(scenario, here, system) if scenario is not None else own_scenarios() / "control.yaml"
    plan = make_plan(
        path, system_path=system, variant=None, seed=drawn(seed), stack=stack, addresses=addresses, calibrated=False
    )
    if plan.faults or plan.scenario.again:
        raise UsageError(f"{path}: it has faults or `again`; calibrate with a scenario that only loads the system")
    require_writable(calibration.beside(system).absolute().parent, "the calibration is kept beside the system file")
    folder = out_folder(out)
    printer = console()
    printer.print(f"seed {plan.seed}")
    calibrating = Calibrating()
    with Board(console(stderr=True), time.monotonic) as board:
        case = until_interrupted(_calibrated(plan, calibrating, folder, board), folder)
    if not calibrating.fit or case.directory is None:
        printer.print(
            shown(
                f"{system} is {case.verdict} even with nothing planted, so calibration stopped; fix that first, then calibrate"
            )
        )
        raise typer.Exit(EXIT[case.verdict] or UNSEEN)
    kept = calibration.write(
        calibration.made(
            load(system, System), run=case.directory.name, seed=plan.seed, told=_parts(calibrating.told, system)
        ),
        system,
    )
    _tell(calibrating.told, system, kept)
    raise typer.Exit(UNSEEN if any(one.answer == "unseen" for one in calibrating.told) else 0)


async def _calibrated(plan: Plan, calibrating: Calibrating, out: Path, board: Board) -> Case:
    from harness.reports import terminal
    from harness.run import execute
    from harness.session.stacks import Stacks

    async with Stacks(out) as stacks:
        stacks.admit(plan)
        line = board.line(f"calibrate {plan.system.name}")
        begun = time.monotonic()
        case = await execute(plan, stacks, progress=line, after=calibrating)
        line.done()
        if not calibrating.fit:
            with board.aside():
                terminal.tell(case.report(terminal.in_all(time.monotonic() - begun)))
        return case


def _parts(told: Sequence[Told], system_path: Path) -> list[Told]:
    """Return the answers with digests of the system file's own parts, whatever an addresses file changes in them."""
    from harness.calibration import part
    from harness.files import load
    from harness.system import System

    system = load(system_path, System)
    return [one.model_copy(update={"part": part(system, one.control, one.of)}) for one in told]


def _tell(told: Sequence[Told], system: Path, kept: Path) -> None:
    from harness.reports.terminal import console, table
    from harness.reports.untrusted import shown

    printer = console()
    rows = [(one.of, MEANING[one.control], WORDS[one.answer], shown(one.said)) for one in told]
    printer.print(table("", ["of", "planted", "answer", "how, and what was found"], rows))
    count = {word: sum(one.answer == word for one in told) for word in WORDS}
    words = f"{count['seen']} seen, {count['unseen']} cannot be seen, {count['not_tried']} not tried"
    printer.print(shown(f"{system}: {words}; kept in {kept}"))
    if count["unseen"]:
        printer.print("what cannot be seen makes every run of this system unknown, until its description changes")
