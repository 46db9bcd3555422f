"""``oneffect sweep``: breaks a service off at every message that an event causes, and maps the verdicts."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from random import Random
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
    from harness.sweep.lineage import Action, LeftOut, Step
    from harness.sweep.map import Cell, Map
    from harness.sweep.pair_map import PairMap
    from harness.sweep.pairs import First, Pairs

TRIES: Final = 6
"""Runs of one cell until its message comes, each with a seed of its own and at the next replica: one replica may send all of a
relay's messages, and every other event's may name something else. A run that met it is never repeated."""


def sweep(  # noqa: PLR0913, PLR0917 - one parameter for each option
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="Whose load and system to use; its faults are left out.")
    ],
    service: Annotated[str, typer.Option(metavar="NAME", help="The service to break off.")],
    only: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Only messages that match, for example 'SET claim:*'.")
    ] = None,
    depth: Annotated[
        int,
        typer.Option(
            min=1, max=2, help="With 2, also a second fault while the first one's event is dealt with again."
        ),
    ] = 1,
    pairs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most so many pairs, drawn from the seed.")
    ] = None,
    system: SystemFile = None,
    variant: Variant = None,
    seed: Seed = None,
    stack: StackName = "auto",
    out: Out = None,
) -> None:
    """Break a service off at every message that one event causes, and map the verdicts.

    First a run without faults shows which messages an event causes on the service's tapped links. Then there are four runs
    for each message: the first replica is killed before it and after it, its request is lost, its reply is lost. A cell
    whose message never came, or whose fault acted at another one, is `unknown`. `--only` limits the runs to the messages
    that match. What came with about every event, but neither names one nor changes anything as far as its command tells,
    is not tried, and is listed below the map.

    With `--depth 2`, the run of each first fault shows which messages its event caused afterwards, and each of these is
    tried with a second fault, in a run with both. Left out are pairs that equal another pair except for the event, that
    can have no effect, or whose messages do not identify their event. A pair counts only if both faults acted at one event.

    The map (map.html, map.json) and the scenario of each cell are kept in a folder of .oneffect/sweeps.

    Exit status: 0 every cell is valid, 1 one is invalid, 2 a wrong argument or file, 3 one is unknown, 4 the stack could
    not start, 130 interrupted.

    For example:

      oneffect sweep crash-at-claim --service essay_lifecycle

      oneffect sweep crash-at-claim --service essay_lifecycle --variant setnx_only --only 'SET *'

      oneffect sweep crash-at-claim --service essay_lifecycle --depth 2 --pairs 30
    """
    from harness.commands.interrupt import until_interrupted
    from harness.reports.progress import Board
    from harness.reports.terminal import console

    if pairs is not None and depth == 1:
        raise UsageError("--pairs limits second faults, and only --depth 2 has them; add --depth 2")
    sweeping = _Sweep(scenario_file(scenario, Path.cwd(), system), service, variant, drawn(seed), stack, only or "*")
    sweeping.depth, sweeping.most = depth, pairs
    sweeping.prepare(system)
    folder = out_folder(out)
    console().print(f"seed {sweeping.seed}")
    with Board(console(stderr=True), time.monotonic) as board:
        made = until_interrupted(sweeping.run(folder, board), folder)
    sweeping.tell(made)
    raise typer.Exit(EXIT[sweeping.worst(made)])


class _Sweep:
    """One sweep; its folder has a scenario for each run, and the map."""

    def __init__(  # noqa: PLR0913, PLR0917 - the command's options
        self, base: Path, service: str, variant: str | None, seed: int, stack: str, only: str
    ) -> None:
        self._base, self._service, self._variant, self._stack, self._only = base, service, variant, stack, only
        self.seed = seed
        self.depth = 1
        self.most: int | None = None
        """Pairs to try at most; None for all."""
        self._pairs: PairMap | None = None
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
        lineage, left_out = self._lineage(watched)
        made = Map(
            [
                Cell(step, action, self._cell(number, step, action))
                for number, step in enumerate(self._matching(lineage), 1)
                for action in ACTIONS
            ],
            left_out,
        )
        await self._try(made.cells, made, out, board)
        if self.depth > 1:
            self._pairs = self._paired(await asyncio.to_thread(self._found, made, lineage))
            self._keep(made)
            board.say(f"{self._pairs.found}; trying {len(self._pairs.cells)}")
            if self._pairs.cells:
                await self._try(self._pairs.cells, made, out, board)
        return made

    async def _try(self, wanted: Sequence[Cell], made: Map, out: Path, board: Board) -> None:
        from harness.commands.lanes import in_lanes, run_case

        cells = {cell.path: cell for cell in wanted}

        async def tried(plan: Plan, stacks: Stacks) -> Case:
            cell = cells[plan.scenario_path]
            replicas = range(1, plan.system.services[self._service].replicas + 1)
            for more, replica in zip(range(TRIES), cycle(replicas), strict=False):
                if more and cell.first is None:
                    self._aim(cell, replica)
                again = self._plan(cell.path, more) if more else plan
                cell.cases.append(await run_case(again, stacks, board))
                await asyncio.to_thread(self._look_into, cell)
                self._keep(made)
                if cell.met or cell.cases[-1].verdict == "invalid":
                    break
            return cell.cases[-1]

        await in_lanes([self._plan(path) for path in cells], out, tried)

    @staticmethod
    def _look_into(cell: Cell) -> None:
        """Note at which messages the faults of a cell's last run acted, and, of an invalid run, the event that they met."""
        from harness.history.reader import History
        from harness.sweep.pairs import event_of
        from harness.sweep.struck import astray

        cell.event, cell.astray = None, ""
        case = cell.cases[-1]
        if not cell.acted and case.verdict != "invalid":
            return
        with History(case.directory / "history.jsonl") as history:
            if cell.acted:
                cell.astray = astray(history, cell.steps)
            if case.verdict == "invalid":
                cell.event = event_of(history)

    def _found(self, made: Map, lineage: Sequence[Step]) -> Pairs:
        """Return the pairs that the runs of the first faults show."""
        from harness.history.reader import History
        from harness.sweep.pairs import First, after, pairs

        def first(cell: Cell) -> First:
            if cell.verdict != "valid":
                return First(cell.step, cell.action, valid=False)
            with History(cell.cases[-1].directory / "history.jsonl") as history:
                found = after(history, self._service)
            return First(cell.step, cell.action, valid=True, named=found is not None, after=found or ())

        return pairs([first(cell) for cell in made.cells], lineage)

    def _paired(self, found: Pairs) -> PairMap:
        """Write a scenario for each pair, or for as many as are wanted, drawn from the seed."""
        from harness.sweep.map import Cell
        from harness.sweep.pair_map import PairMap

        places = list(range(len(found.kept)))
        if self.most is not None and self.most < len(places):
            places = sorted(Random(self.seed).sample(places, self.most))
        cells = []
        for place in places:
            pair = found.kept[place]
            name = f"p{place + 1:03}-{_slug(pair.first.command)}-then-{_slug(pair.second.command)}"
            path = self._written(name, pair.faults(self._service), taps=True)
            cells.append(Cell(pair.second, pair.action, path, first=(pair.first, pair.first_action)))
        return PairMap(found, cells)

    def worst(self, made: Map) -> str:
        """The worst verdict of all cells and pairs."""
        from harness.sweep.map import WORDS

        return max([made.verdict, *([self._pairs.verdict] if self._pairs else [])], key=WORDS.index)

    def tell(self, made: Map) -> None:
        """Print the map, and how to look into what is not valid."""
        from harness.reports import said as report
        from harness.reports.terminal import console, table
        from harness.sweep.lineage import ACTIONS
        from harness.sweep.pair_map import rows as said_rows
        from harness.sweep.pair_map import said

        printer = console()
        rows = [[row[0].step, *(cell.said for cell in row)] for row in made.rows]
        printer.print(table("", ["message", *(action.name for action in ACTIONS)], rows))
        if self._pairs is not None and self._pairs.cells:
            head = ["two faults for one event", *(action.name for action in ACTIONS)]
            printer.print(table("", head, list(said_rows(self._pairs, ACTIONS))))
        variant = f" --variant {self._variant}" if self._variant else ""
        for cell in [*made.cells, *(self._pairs.cells if self._pairs else [])]:
            if cell.verdict != "valid" and cell.cases:
                show = shlex.join(["oneffect", "show", report.run(cell.cases[-1].directory)])
                before = f"{said(*cell.first)}, then " if cell.first else ""
                what = f"{before}{said(cell.step, cell.action)}"
                printer.print(f"{what}: {show}    again: oneffect run {cell.path}{variant}")
        if self._pairs is not None:
            printer.print(self._pairs.said)
        if made.left:
            printer.print(made.left)
        printer.print(f"{len(made.cells)} cells: {made.counts}; map: {self._folder / 'map.html'}")

    def _lineage(self, watched: Case) -> tuple[list[Step], list[LeftOut]]:
        from harness.history.reader import History
        from harness.sweep.lineage import lineage

        if watched.verdict != "valid":
            raise UsageError(
                f"the run without faults is {watched.verdict}, so runs with faults would prove nothing; "
                f"see: oneffect show {watched.directory}"
            )
        with History(watched.directory / "history.jsonl") as history:
            found, left_out = lineage(history, self._service)
        if not found:
            raise UsageError(
                f"on the tapped links of {self._service}, no message names an event, its upload or its raw blob; "
                f"see what passed: oneffect wire {watched.directory}"
            )
        return found, left_out

    def _matching(self, found: Sequence[Step]) -> list[Step]:
        from harness.taps.trigger import Pattern

        pattern = Pattern(self._only)
        # A stand-in for the names in its keys, which both `*` and `{id}` match.
        keys = {step: step.key.replace("*", "0") if step.whole else step.key for step in found}
        matching = [step for step in found if pattern.matches(step.command, keys[step])]
        if not matching:
            raise UsageError(f"--only {self._only!r}: matches none of {'; '.join(map(str, found))}")
        return matching

    def _cell(self, number: int, step: Step, action: Action) -> Path:
        name = f"m{number:02}-{_slug(step.command)}-{action.name.replace(' ', '-')}"
        # What the event causes afterwards is read from every link.
        return self._written(name, [step.fault(action, f"{self._service}#1")], taps=self.depth > 1)

    def _aim(self, cell: Cell, replica: int) -> None:
        """Let a cell's fault act at another replica from now on."""
        fault = cell.step.fault(cell.action, f"{self._service}#{replica}")
        self._written(cell.path.stem, [fault], taps=self.depth > 1)

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
            "left_out": [asdict(one) for one in made.left_out],
            **({"pairs": self._pairs.document()} if self._pairs is not None else {}),
        }
        write_whole(self._folder / "map.json", orjson.dumps(document, option=orjson.OPT_INDENT_2))
        title = " ".join(filter(None, ["sweep of", self._service, self._variant, f"· seed {self.seed}"]))
        write_whole(self._folder / "map.html", page(made, title, self._folder, self._pairs).encode())


def _slug(command: str) -> str:
    return re.sub("[^a-z0-9]+", "-", command.lower())[:20]
