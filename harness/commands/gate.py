"""``oneffect gate``: runs the scenarios tagged ``gate``, and reports in the formats that CI systems read."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from harness.commands.options import Out, Seed, StackName
from harness.commands.outputs import Outputs
from harness.commands.places import looks_like_a_system, scenario, scenario_folder, shown, there
from harness.commands.run import drawn
from harness.errors import FileError, OneffectError, PlanRefused, UsageError, first_on_purpose
from harness.session.directory import out_folder

if TYPE_CHECKING:
    from harness.commands.made import Made
    from harness.plan import Plan
    from harness.reports.case import Case
    from harness.reports.progress import Board
    from harness.scenario import Scenario
    from harness.session.stacks import Stacks

TAG: Final = "gate"


def gate(  # noqa: PLR0913, PLR0917 - one parameter for each option
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATHS]...", help="Scenarios or folders; default: the nearest scenarios/."),
    ] = None,
    base: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A base: also fail if a result is worse than in it.")
    ] = None,
    write_base: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the results as a base, if all passed.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="DIR", help="Copy each run's report.html there.")] = None,
    summary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a Markdown summary, also to $GITHUB_STEP_SUMMARY if set."),
    ] = None,
    seed: Seed = None,
    stack: StackName = "auto",
    out: Out = None,
) -> None:
    """Run the scenarios tagged `gate`, on the system as it is and on each variant they name, without retries.

    Exit status: 0 if every verdict is the one its scenario expects (and none is worse than in the base), 1 if not,
    2 a wrong argument or file, 4 a scenario could not be run, 130 interrupted.

    For example:

      oneffect gate

      oneffect gate scenarios --junit junit.xml --summary summary.md --html reports

      oneffect gate --base scenarios/base.json

      oneffect gate --stack docker
    """
    from harness.commands.made import Made
    from harness.plan import make_plan
    from harness.reports import baseline
    from harness.reports.github import annotate, unread

    environment = os.environ
    on_github = environment.get("GITHUB_ACTIONS") == "true"
    seed = drawn(seed)
    before = baseline.read(base) if base is not None else None
    plans = [
        make_plan(path, system_path=None, variant=variant, seed=seed, stack=stack)
        for path, tagged in _tagged(paths or [])
        for variant in (None, *tagged.variants)
    ]
    _refuse_doubles(plans)
    step_summary = environment.get("GITHUB_STEP_SUMMARY")
    outputs = Outputs(junit, html, summary, write_base, Path(step_summary) if step_summary else None)
    outputs.prepare(plan.label for plan in plans)
    made = Made(plans, outputs, seed)
    with unread(typer.echo) if on_github else nullcontext():
        ended = _run(made, out_folder(out))
        cases = made.cases
        if before is not None and base is not None and ended is None:
            folders = [place for place in _places(paths or []) if _is_folder(place)]
            cases = baseline.compared(before, cases, base, folders=folders)
        headline = _headline(cases) if ended is None else made.broken_off(_how(ended))
        _tell(cases, headline)
    if on_github:
        for line in annotate([(case, _line(case)) for case in cases if not case.passed], environment):
            typer.echo(line)
    if ended is not None:
        _leave(made, headline, ended)
    made.write(cases, headline, broken_off=False)
    raise typer.Exit(_exit_code(cases))


def _leave(made: Made, headline: str, ended: BaseException) -> NoReturn:
    """Write the results so far, then raise ``ended``; an output that cannot be written is reported beside it."""
    try:
        made.write(made.all(headline), headline, broken_off=True)
    except FileError as error:
        typer.echo(f"oneffect: {error}", err=True)
    raise ended


def _tagged(names: Sequence[str]) -> list[tuple[Path, Scenario]]:
    """Return the scenarios tagged ``gate``; UsageError for a scenario named explicitly that is not tagged."""
    from harness.files import load
    from harness.scenario import Scenario

    here = Path.cwd()
    tagged: dict[Path, Scenario] = {}
    for place in _places(names):
        named = not _is_folder(place)
        beside = [path for path in sorted(place.glob("*.yaml")) if not looks_like_a_system(path)]
        for path in [scenario(str(place), here)] if named else beside:
            read = load(path, Scenario)
            if TAG in read.tags:
                tagged[path] = read
            elif named:
                raise UsageError(f"{path}: is not tagged for the gate; write `tags: [{TAG}]` into it")
    if not tagged:
        raise UsageError(
            f"no scenario in {', '.join(names) or shown(_nearest_folder())} is tagged for the gate; "
            f"write `tags: [{TAG}]` into one"
        )
    return list(tagged.items())


def images(names: Sequence[str], stack: str) -> list[str]:
    """Images that the docker stack needs to gate these scenarios; none for another stack."""
    from harness.plan import make_plan
    from harness.stacks.docker import stack as docker

    plans = [make_plan(path, system_path=None, variant=None, seed=0, stack=stack) for path, _ in _tagged(names)]
    return sorted({image for plan in plans if plan.stack == "docker" for image in docker.images(plan.system)})


def _places(names: Sequence[str]) -> list[Path]:
    return [Path(name) for name in names] or [_nearest_folder()]


def _is_folder(place: Path) -> bool:
    return there(place) and place.is_dir()


def _nearest_folder() -> Path:
    folder = scenario_folder(Path.cwd())
    if folder is None:
        raise UsageError("there is no scenarios/ folder here or above; name scenarios or a folder")
    return shown(folder)


def _refuse_doubles(plans: Sequence[Plan]) -> None:
    paths: dict[str, Path] = {}
    for plan in plans:
        other = paths.setdefault(plan.label, plan.scenario_path)
        if other != plan.scenario_path:
            raise UsageError(f"{other} and {plan.scenario_path} are both named {plan.label!r}; rename one")


def _run(made: Made, out: Path) -> BaseException | None:
    """Run all plans; return the error that ended the gate early, None if nothing did."""
    from harness.commands.interrupt import until_interrupted
    from harness.commands.lanes import in_lanes
    from harness.reports.progress import Board
    from harness.reports.terminal import console

    async def attempt(plan: Plan, stacks: Stacks) -> Case:
        case = await _attempt(plan, stacks, board)
        await made.add(case)
        return case

    console().print(f"seed {made.seed}")
    try:
        with Board(console(stderr=True), time.monotonic) as board:
            until_interrupted(in_lanes(made.plans, out, attempt), out)
    except BaseException as error:  # noqa: BLE001 - raised again once the results are written
        return error
    return None


async def _attempt(plan: Plan, stacks: Stacks, board: Board) -> Case:
    """Run a plan; an error makes a case too, and the next run gets a new stack."""
    from harness.commands.lanes import run_case
    from harness.reports.case import Case

    begun = time.monotonic()
    try:
        with first_on_purpose():
            return await run_case(plan, stacks, board)
    except PlanRefused:
        raise
    except OneffectError as error:
        board.say(f"{plan.label}: could not be run")
        seconds = time.monotonic() - begun
        return Case(plan.scenario.name, plan.variant, plan.scenario_path, seconds, error=str(error))


def _tell(cases: Sequence[Case], headline: str) -> None:
    """Print all results; the last line is the headline."""
    from harness.reports.case import COLUMNS
    from harness.reports.terminal import console, table
    from harness.reports.untrusted import shown as fit

    printer = console()
    if cases:
        printer.print(table("", COLUMNS, [case.cells() for case in cases]))
    for case in cases:
        if not case.passed:
            printer.print(fit(f"{case.label}: {case.why}\n{case.story}", lines=True))
    for line in _tried(cases):
        printer.print(fit(line))
    printer.print(fit(headline))


def _tried(cases: Sequence[Case]) -> Iterator[str]:
    """Say what all runs on the unchanged system have tried at each consumer, and what none of them has."""
    from harness.reports.coverage import added, sentence, untried

    tables = [
        case.document.get("coverage", []) for case in cases if case.document is not None and case.variant is None
    ]
    rows = added(tables)
    if tables and not rows:
        yield "no run had `taps: all`, so it is not known how far deliveries had got when a replica died"
    for row in rows:
        missing = ", ".join(untried(row))
        yield f"tried at {sentence(row)}" + (f"; never tried: {missing}" if missing else "")


def _headline(cases: Sequence[Case]) -> str:
    bad = sum(not case.passed for case in cases)
    return f"{bad} of {len(cases)} runs did not pass" if bad else f"all {len(cases)} runs passed"


def _how(ended: BaseException) -> str:
    """Say briefly what ended the gate early."""
    from harness.commands.interrupt import Interrupted

    if isinstance(ended, Interrupted):
        return str(ended).partition(";")[0]
    said = str(ended).partition("\n")[0] if isinstance(ended, OneffectError) else type(ended).__name__
    return f"broken off ({said})"


def _line(case: Case) -> int | None:
    """Line of the scenario's expectation."""
    from harness.files import line_of

    return line_of(case.file, ("variants", case.variant) if case.variant else ("expect",))


def _exit_code(cases: Sequence[Case]) -> int:
    """Return 1 for a wrong verdict, else 4 for a run that could not be made, perhaps because of the machine."""
    if any(case.regressions or (case.document is not None and not case.passed) for case in cases):
        return 1
    return 0 if all(case.passed for case in cases) else 4
