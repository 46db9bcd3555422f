"""``oneffect sweep``: breaks a service off at every message that an event causes, and maps the verdicts."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from harness.commands.options import Out, Seed, StackName, SystemFile, Variant
from harness.commands.places import scenario as scenario_file
from harness.commands.run import EXIT, drawn
from harness.errors import UsageError, nearest
from harness.history import RUNS
from harness.session.directory import out_folder, require_writable

if TYPE_CHECKING:
    from harness.plan import Plan
    from harness.reports.case import Case
    from harness.reports.progress import Board
    from harness.session.stacks import Stacks
    from harness.sweep.lineage import Action, Step
    from harness.sweep.map import Map

TRIES: Final = 3
"""Runs of one cell, each with a seed of its own, until its message comes. A run that met it is never repeated."""


def sweep(  # noqa: PLR0913, PLR0917 - one parameter for each option
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="Whose load and system to use; its faults are left out.")
    ],
    service: Annotated[str, typer.Option(metavar="NAME", help="The service to break off.")],
    only: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Only messages that match, for example 'SET claim:*'.")
    ] = None,
    system: SystemFile = None,
    variant: Variant = None,
    seed: Seed = None,
    stack: StackName = "auto",
    out: Out = None,
) -> None:
    """Break a service off at every message that one event causes, and map the verdicts.

    First a run without faults shows which messages an event causes on the service's tapped links. Then each of them gets
    four runs: the service's first replica is killed before and after the message, its request is lost, its reply is lost.
    A cell whose message never came is `unknown`.

    The map (map.html, map.json) and the scenario of each cell are kept in a folder of .oneffect/sweeps.

    Exit status: 0 every cell is valid, 1 one is invalid, 2 a wrong argument or file, 3 one is unknown, 4 the stack could
    not start, 130 interrupted.

    For example:

      oneffect sweep crash-at-claim --service essay_lifecycle

      oneffect sweep crash-at-claim --service essay_lifecycle --variant setnx_only --only 'SET *'
    """
    from harness.commands.interrupt import until_interrupted
    from harness.reports.progress import Board
    from harness.reports.terminal import console

    sweeping = _Sweep(scenario_file(scenario, Path.cwd(), system), service, variant, drawn(seed), stack, only or "*")
    sweeping.prepare(system)
    folder = out_folder(out)
    console().print(f"seed {sweeping.seed}")
    with Board(console(stderr=True), time.monotonic) as board:
        made = until_interrupted(sweeping.run(folder, board), folder)
    sweeping.tell(made)
    raise typer.Exit(EXIT[made.verdict])


class _Sweep:
    """One sweep; its folder has a scenario for each run, and the map."""

    def __init__(  # noqa: PLR0913, PLR0917 - the command's options
        self, base: Path, service: str, variant: str | None, seed: int, stack: str, only: str
    ) -> None:
        self._base, self._service, self._variant, self._stack, self._only = base, service, variant, stack, only
        self.seed = seed
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        self._folder = RUNS.parent / "sweeps" / "-".join(filter(None, [stamp, service, variant, str(seed)]))
        self._system = ""

    def prepare(self, system: Path | None) -> None:
        """Create the folder, once the scenario, the system and the service are known to be right."""
        from harness.plan import make_plan

        plan = make_plan(self._base, system_path=system, variant=self._variant, seed=self.seed, stack=self._stack)
        if self._service not in plan.system.services:
            known = plan.system.services
            raise UsageError(
                f"no service {self._service!r}{nearest(self._service, known)}; there are {', '.join(known)}"
            )
        require_writable(self._folder, "run it in a folder that you can write to")
        self._system = os.path.relpath(plan.system_path, self._folder)

    async def run(self, out: Path, board: Board) -> Map:
        """Make every run; the map's file is complete after each."""
        from harness.commands.lanes import in_lanes, run_case
        from harness.sweep.lineage import ACTIONS
        from harness.sweep.map import Cell, Map

        everything = self._plan(self._written("messages", [], taps=True))
        (watched,) = await in_lanes([everything], out, lambda plan, stacks: run_case(plan, stacks, board))
        made = Map(
            [
                Cell(step, action, self._cell(number, step, action))
                for number, step in enumerate(self._steps(watched), 1)
                for action in ACTIONS
            ]
        )
        cells = {cell.path: cell for cell in made.cells}

        async def tried(plan: Plan, stacks: Stacks) -> Case:
            cell = cells[plan.scenario_path]
            for more in range(TRIES):
                again = self._plan(cell.path, more) if more else plan
                cell.cases.append(await run_case(again, stacks, board))
                self._keep(made)
                if cell.met or cell.verdict == "invalid":
                    break
            return cell.cases[-1]

        await in_lanes([self._plan(path) for path in cells], out, tried)
        return made

    def tell(self, made: Map) -> None:
        """Print the map, and how to look into what is not valid."""
        from harness.reports import said
        from harness.reports.terminal import console, table
        from harness.sweep.lineage import ACTIONS

        printer = console()
        rows = [[row[0].step, *(cell.said for cell in row)] for row in made.rows]
        printer.print(table("", ["message", *(action.name for action in ACTIONS)], rows))
        variant = f" --variant {self._variant}" if self._variant else ""
        for cell in made.cells:
            if cell.verdict != "valid" and cell.cases:
                show = shlex.join(["oneffect", "show", said.run(cell.cases[-1].directory)])
                printer.print(f"{cell.step}, {cell.action.name}: {show}    again: oneffect run {cell.path}{variant}")
        printer.print(f"{len(made.cells)} cells: {made.counts}; map: {self._folder / 'map.html'}")

    def _steps(self, watched: Case) -> list[Step]:
        from harness.history.reader import History
        from harness.sweep.lineage import steps
        from harness.taps.trigger import Pattern

        if watched.verdict != "valid":
            raise UsageError(
                f"the run without faults is {watched.verdict}, so no other can be judged by it; "
                f"see: oneffect show {watched.directory}"
            )
        with History(watched.directory / "history.jsonl") as history:
            found = steps(history, self._service)
        if not found:
            raise UsageError(
                f"on the tapped links of {self._service}, no message names an event, its upload or its raw blob; "
                f"see what passed: oneffect wire {watched.directory}"
            )
        pattern = Pattern(self._only)
        matching = [step for step in found if pattern.matches(step.command, step.key)]
        if not matching:
            raise UsageError(f"--only {self._only!r}: matches none of {'; '.join(map(str, found))}")
        return matching

    def _cell(self, number: int, step: Step, action: Action) -> Path:
        command = re.sub("[^a-z0-9]+", "-", step.command.lower())[:20]
        name = f"m{number:02}-{command}-{action.name.replace(' ', '-')}"
        return self._written(name, [step.fault(action, f"{self._service}#1")], taps=False)

    def _written(self, name: str, faults: Sequence[dict[str, Any]], *, taps: bool) -> Path:
        from harness.files.document import parse
        from harness.files.dump import dumped
        from harness.sweep.lineage import scenario

        path = self._folder / f"{name}.yaml"
        document = scenario(parse(self._base).value, name, self._system, faults, taps=taps)
        path.write_text(dumped(document), encoding="utf-8")
        return path

    def _plan(self, path: Path, more: int = 0) -> Plan:
        from harness.plan import make_plan

        return make_plan(path, system_path=None, variant=self._variant, seed=self.seed + more, stack=self._stack)

    def _keep(self, made: Map) -> None:
        import orjson

        from harness.reports.document import write_whole
        from harness.sweep.page import page

        document = {
            "service": self._service,
            "variant": self._variant,
            "seed": self.seed,
            "messages": made.document(),
        }
        write_whole(self._folder / "map.json", orjson.dumps(document, option=orjson.OPT_INDENT_2))
        title = " ".join(filter(None, ["sweep of", self._service, self._variant, f"· seed {self.seed}"]))
        write_whole(self._folder / "map.html", page(made, title, self._folder).encode())
