"""``oneffect shrink``: finds the smallest part of a broken run's schedule that still breaks the system."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from harness.commands.options import RunDirectory
from harness.commands.places import run_directory, shown
from harness.commands.run import EXIT
from harness.errors import FileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.commands.broken import Broken
    from harness.commands.candidates import Found
    from harness.reports.progress import Board
    from harness.shrink.judged import Judged
    from harness.shrink.rule import Ran

STATE: Final = "shrink.json"
SMALLEST: Final = "smallest.yaml"


def shrink(
    run_dir: RunDirectory = None,
    runs: Annotated[int, typer.Option(metavar="N", min=1, help="Judge each candidate in up to so many runs.")] = 3,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the smallest scenario there; default: RUN_DIR/smallest.yaml."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin no further run of the search after this time: 30m, 2h.")
    ] = None,
) -> None:
    """Find the smallest part of an invalid run's schedule that still breaks the system.

    It leaves faults out, shortens windows, reduces the load, narrows targets and replaces moments by messages, as long as
    one of the run's own anomalies still occurs. First it runs the whole schedule N times; a candidate counts as breaking
    if it breaks in at least half as many runs. At the end it runs the smallest N times more, and reports in how many it
    broke. Verdicts are kept in RUN_DIR/shrink.json: after Ctrl-C, or once the budget is spent, the same command resumes.

    Exit status: 0 the smallest scenario is written, 2 a wrong argument or file, or a run that is not invalid, 3 it did not
    break again, 4 the stack could not start, 130 interrupted.

    For example:

      oneffect shrink

      oneffect shrink .oneffect/runs/latest --runs 5 --budget 30m

      oneffect shrink r1bbfc52a --out scenarios/lost.yaml
    """
    from harness.commands.broken import broken_run
    from harness.commands.interrupt import Interrupted, until_interrupted
    from harness.reports.progress import Board
    from harness.reports.terminal import console
    from harness.session.directory import require_writable
    from harness.shrink.candidate import Candidate
    from harness.shrink.judged import Judged

    # Resolved now: ``latest`` may be another run when the search resumes.
    broken = broken_run(shown(run_directory(run_dir, Path.cwd()).resolve()))
    if any(line.when is not None and line.when.follows is not None for line in broken.scenario.faults):
        raise UsageError(
            "a row of this schedule follows another (`follows`), so neither can be left out alone; try the row that is "
            "followed by itself: oneffect run"
        )
    seconds = _seconds(budget)
    out = _file(out or broken.directory / SMALLEST)
    require_writable(broken.folder, "copy the run directory to where you may write")
    plan = broken.plan(Candidate.of(broken.scenario), 1, broken.seed)
    judged = Judged(broken.directory / STATE, plan.digest)
    printer = console()
    if plan.document["system"] != broken.recorded:
        printer.print("the system file has changed since this run; what breaks now may be something else")
    if judged.stale:
        printer.print(f"{judged.path}: is about another system or schedule; beginning anew")
    elif judged.entries:
        printer.print(f"going on from {len(judged.runs())} runs in {judged.path}; remove it to begin anew")
    with Board(console(stderr=True), time.monotonic) as board:
        try:
            found = until_interrupted(_search(broken, judged, board, runs, seconds), None)
        except Interrupted:
            board.say(f"{len(judged.runs())} runs are kept; go on: {_again(broken, runs)}")
            raise
    whole = judged.entry(Candidate.of(broken.scenario)).ran
    if found is None:
        _tell_nothing(broken, whole, runs)
        raise typer.Exit(EXIT["unknown"])
    raise typer.Exit(_tell(broken, judged, found, out, runs))


def _seconds(budget: str | None) -> float | None:
    from harness.units import parse_duration

    try:
        return parse_duration(budget) if budget is not None else None
    except ValueError as error:
        raise UsageError(f"--budget: {error}") from None


def _file(path: Path) -> Path:
    """Refuse a file that could not be written, or not be run, before the first run and not after the last."""
    from harness.session.directory import require_writable

    if path.suffix != ".yaml" or path.is_dir():
        raise FileError("name a .yaml file", path=str(path))
    require_writable(path.parent, "name another file: --out FILE")
    return path


async def _search(broken: Broken, judged: Judged, board: Board, runs: int, budget: float | None) -> Found | None:
    """Search for the smallest candidate; None if the whole schedule does not break again."""
    from harness.commands.candidates import Candidates, Found, OverBudget
    from harness.files import load
    from harness.session.stacks import Stacks
    from harness.shrink.candidate import Candidate
    from harness.shrink.reduction import Reduction
    from harness.system import System

    whole = Candidate.of(broken.scenario)
    async with Stacks(broken.folder) as stacks:
        candidates = Candidates(broken, judged, stacks, board, runs=runs, budget=budget)
        if not any(ran.broke(broken.anomalies) for ran in await candidates.whole(whole)):
            return None
        reduction = Reduction(whole, load(broken.system, System), candidates.breaks, candidates.offers)
        try:
            await reduction.reduce()
        except OverBudget:
            return Found(reduction.smallest, await candidates.last(reduction.smallest), complete=False)
        return Found(reduction.smallest, await candidates.last(reduction.smallest), complete=True)


def _again(broken: Broken, runs: int) -> str:
    from harness.reports import said

    return shlex.join(["oneffect", "shrink", said.run(broken.directory), "--runs", str(runs)])


def _tell_nothing(broken: Broken, ran: Sequence[Ran], runs: int) -> None:
    """Say that the whole schedule did not break again, and what to do."""
    from harness.reports.terminal import console

    came = Counter(one.verdict for one in ran)
    printer = console()
    printer.print(
        f"{broken.label} did not break again: {', '.join(sorted(broken.anomalies))} in none of {len(ran)} runs "
        f"({', '.join(f'{count} {verdict}' for verdict, count in sorted(came.items()))})"
    )
    _tell_others(broken, ran)
    printer.print(
        "  A few runs rarely show a break this rare, and a smaller schedule could not be told from luck. Try more runs: "
        f"{_again(broken, max(10, 3 * runs))}"
    )
    printer.print(f"  The runs are in {broken.folder}; no scenario was written.")


def _tell_others(broken: Broken, ran: Sequence[Ran]) -> None:
    """Count the runs that were unknown, and those that showed another bug."""
    from harness.commands.broken import invalidating
    from harness.reports.terminal import console

    printer = console()
    if unknown := sum(one.verdict == "unknown" for one in ran):
        printer.print(f"  unknown in {unknown} runs, which show nothing")
    strange = [one for one in ran if one.verdict == "invalid" and not one.broke(broken.anomalies)]
    for name in sorted(invalidating()):
        if found := [one for one in strange if name in one.anomalies]:
            printer.print(
                f"  {name} in {len(found)} other runs: another bug, which was not followed; see {found[0].directory}"
            )


def _tell(broken: Broken, judged: Judged, found: Found, out: Path, runs: int) -> int:
    """Write the smallest scenario and report the search; return the exit code."""
    from harness.reports.terminal import console
    from harness.shrink.candidate import Candidate

    whole, smallest = Candidate.of(broken.scenario), found.smallest
    broke = [ran for ran in found.ran if ran.broke(broken.anomalies)]
    # It was chosen because it broke, so there is such a run even if none of its last runs broke.
    shows = [*broke, *(ran for ran in judged.entry(smallest).ran if ran.broke(broken.anomalies))]
    find = sorted(broken.anomalies.intersection(*(ran.anomalies for ran in shows)))
    share = f"{len(broke)} of {len(found.ran)} runs"
    again = shlex.join(
        ["oneffect", "run", str(shown(out.absolute())), "--seed", str(shows[0].seed)]
        + (["--variant", broken.variant] if broken.variant else [])
        + (["--addresses", str(broken.addresses)] if broken.addresses else [])
        + (["--stack", broken.stack] if broken.stack not in {"native", "external"} else [])
    )
    what = f"{'The smallest' if found.complete else 'A smaller'} part of {broken.scenario.name} that still breaks it"
    text = broken.file(
        smallest,
        out.parent,
        name=broken.smallest,
        summary=f"{what}: {' and '.join(find) or 'invalid'}, in {share}.",
        find=find,
        note=f"Again: {again}",
    )
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileError(f"cannot be written: {error.strerror}", path=str(out)) from error
    printer = console()
    printer.print(f"{what}: {smallest.size}; the whole: {whole.size}")
    printer.print(f"  {' and '.join(find) or 'invalid'} in {share} after the search")
    answers = [entry for entry in judged.entries.values() if entry.ran or entry.refused]
    printer.print(f"  {len(answers)} candidates were judged in {len(judged.runs())} runs")
    _tell_others(broken, judged.runs())
    if not found.complete:
        printer.print(f"  the budget is over; go on: {_again(broken, runs)}")
    printer.print(f"  written: {shown(out.absolute())}    again: {again}")
    printer.print(text.rstrip())
    _tell_story(shows)
    return 0 if broke else EXIT["unknown"]


def _tell_story(ran: Sequence[Ran]) -> None:
    """Tell of the first of these runs whose directory is still there."""
    from harness.reports import document, terminal

    for one in ran:
        directory = Path(one.directory)
        if (directory / "verdict.json").is_file():
            terminal.tell(terminal.stories(document.read(directory), directory))
            return
