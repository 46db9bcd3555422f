"""One run, top to bottom: plan -> session -> load, faults and observers -> drain -> final read -> verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from harness.errors import FaultError, FileError, OneffectError
from harness.reports.document import Document
from harness.session.session import Session, opened

if TYPE_CHECKING:
    from harness.faults.base import PlannedFault
    from harness.history.recorder import HistoryRecorder
    from harness.load.locust_load import LocustLoad
    from harness.load.uploads import Load
    from harness.plan import Plan
    from harness.reports.case import Case
    from harness.session.stacks import Progress, Stacks
    from harness.stack import RunNames, Stack

HEALTHY_WITHIN = 30.0
"""Seconds that a service or dependency may take to answer the harness past the proxies."""


PATIENCE = 60.0
"""Seconds more that a fault waits for a first acknowledged operation before it comes, and stays in place if nothing of
the system's has met it yet: machines are busy at times."""


SEVERAL = 3
"""So many times the system's ``settle`` without a movement: what has not come by then is stuck, and not slow."""


@dataclass(frozen=True, slots=True)
class Result:
    """A judged run: its directory, and what its verdict.json says."""

    directory: Path
    document: Document


async def execute(plan: Plan, stacks: Stacks, *, progress: Progress) -> Case:
    """One run on the plan's warm stack, judged; after whatever ended it early the next run gets a new stack."""
    from harness.reports.case import Case

    try:
        stack = await stacks.of(plan, progress)
        begun = time.monotonic()
        result = await run(plan, out=stacks.out, stack=stack, progress=progress)
    except BaseException:
        await stacks.drop(plan)
        raise
    seconds = time.monotonic() - begun
    return Case(
        plan.scenario.name,
        plan.variant,
        plan.scenario_path,
        seconds,
        directory=result.directory,
        document=result.document,
    )


async def run(plan: Plan, *, out: Path, stack: Stack, progress: Progress) -> Result:
    """Execute a plan on a stack that runs, and runs on afterwards, and judge it; its directory is made under ``out``."""
    async with opened(plan, stack, out) as session:
        await _LiveRun(plan, session, progress).play()
    progress.step("judging")
    # In a thread: another run may be under way on this loop, and its load keeps its times.
    return await asyncio.to_thread(judge_directory, session.directory)


def judge_directory(directory: Path) -> Result:
    """Judge a recorded run (again), offline, and write verdict.json and report.html; FileError without a history."""
    from harness.checkers.judge import explained, judge, overall
    from harness.history.reader import History
    from harness.reports import html
    from harness.reports.document import write

    path = directory / "history.jsonl"
    if not path.is_file():
        raise FileError("there is no history.jsonl here; name a run directory", path=str(directory))
    with History(path) as history:
        findings = judge(history)
        templates = explained(findings)
        document = write(directory / "verdict.json", history, findings, overall(findings), templates)
        html.write(directory / "report.html", history, document, templates)
    return Result(directory, document)


@dataclass(slots=True)
class _Turn:
    """When a fault began: where the load was then, in the unit of its moment."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    position: float = 0.0


class _LiveRun:
    """One run under way on a running stack."""

    def __init__(self, plan: Plan, session: Session, progress: Progress) -> None:
        from harness.clients.http import HttpClient
        from harness.observers.watch import Watch
        from harness.session.again import Again

        self._plan, self._session, self._progress = plan, session, progress
        self._live, self._recorder = session.live, session.recorder
        self._stack = self._live.stack
        self._to_come = {planned.id for planned in plan.faults if planned.fault.heals}
        self._to_come |= {f"again[{row}]" for row in range(len(plan.scenario.again))}
        """Why the load goes on: faults that are to come or in place, and what is to be asked for again."""
        self._turns = {planned.id: _Turn() for planned in plan.faults}
        self._over = False
        """Whether the load has ended."""
        names = self._live.names
        self._http = HttpClient()
        self._load = _load(plan, names, session.directory, self._recorder)
        self._watch = Watch(plan.system, self._recorder, kafka=self._live.kafka, http=self._http, names=names)
        self._again = Again(plan, self._live, self._watch, self._recorder, self._http, patience=PATIENCE)

    async def play(self) -> None:
        """Services up, load under faults, drain, final read."""
        async with AsyncExitStack() as cleanup:
            cleanup.push_async_callback(self._http.close)
            cleanup.push_async_callback(self._watch.close)
            self._progress.step("starting services")
            await self._start()
            await self._health("start")
            async with _background(*self._observers()):
                await self._load_under_faults()
                deadline = asyncio.get_running_loop().time() + self._plan.scenario.drain
                await self._come_to_rest(deadline)
            while not await self._read_all() and asyncio.get_running_loop().time() < deadline:
                async with _background(*self._observers()):
                    await self._come_to_rest(deadline)

    async def _start(self) -> None:
        async with asyncio.TaskGroup() as starting:
            starting.create_task(self._live.start_services(self._session.directory, self._plan.variant))
            starting.create_task(asyncio.to_thread(self._load.prepare))
        system, filled = self._plan.system, self._live.filled
        self._load.open(self._http, self._live.front_door())
        urls = {name: filled(effects.sql.url, name) for name, effects in system.effects.items()}
        await self._watch.open(urls, filled(system.blobs.get) if system.blobs is not None else None)
        await self._watch.try_out()
        self._join()
        self._again.open()

    def _join(self) -> None:
        """Have the load and the observers tell one another what must follow, and what has."""
        answers = self._load.answers
        answers.on_asked = self._watch.asked
        answers.on_acknowledged = self._watch.acknowledged
        answers.on_taken = self._again.drawn.note
        answers.has_outcome = self._watch.has_outcome
        self._watch.on_outcome(answers.outcome)

    def _observers(self) -> list[Coroutine[object, object, None]]:
        from harness.observers.claims import listen

        looks = [self._watch.keep_looking(), self._watch.keep_reading_blobs()]
        return [*looks, *(listen(store, self._recorder) for store in self._live.redis.values())]

    async def _load_under_faults(self) -> None:
        """The load, with each fault, and each thing asked for again, at its moment; returns when all is over and healed."""
        self._progress.step(f"load: {self._load.scale}, {len(self._plan.faults)} faults")
        async with asyncio.TaskGroup() as tasks:
            for planned in self._plan.faults:
                tasks.create_task(self._fault(planned))
            for row in range(len(self._plan.scenario.again)):
                tasks.create_task(self._ask_again(row))
            await self._load.run(more=lambda: bool(self._to_come))
            self._over = True
            self._recorder.record("run", "loaded", "run")
        self._recorder.record("run", "healed", "run")

    async def _fault(self, planned: PlannedFault) -> None:
        from harness.faults.apply import apply
        from harness.faults.base import FaultContext

        await self._load.reached(planned.at)
        await self._answered()
        await self._in_turn(planned)
        context = FaultContext(
            planned,
            self._recorder,
            self._stack,
            self._live.kafka,
            Random(planned.seed),
            redis=self._live.redis,
            deadline=self._plan.scenario.drain,
            patience=PATIENCE,
            spoil=self._watch.spoiled.note,
            begun=lambda: self._load.answers.begun,
            under_way=lambda: self._load.answers.begun - self._load.answers.ended,
        )
        self._progress.note(f"{planned.fault.name} on {planned.target}")
        try:
            with self._session.redaction.messages():
                await apply(context, begun=lambda: self._begins(planned))
        except FaultError as error:
            # It is in the history as failed. The run goes on: a system that does not come back has a verdict too.
            self._progress.note(str(error).partition("\n")[0])
        finally:
            self._begins(planned)
            self._to_come.discard(planned.id)

    async def _in_turn(self, planned: PlannedFault) -> None:
        """Wait for the faults of earlier moments to begin, and for the load to go on from there as far as is planned.

        Where one waits for its turn or for something to meet, those after it keep their order and their distance. Moments
        in seconds and in per cent of the load each go by themselves.
        """
        at = _moment(planned.at)
        for other in self._plan.faults:
            if type(other.at) is not type(planned.at) or _moment(other.at) >= at:
                continue
            turn = self._turns[other.id]
            await turn.begun.wait()
            while not self._over and self._load.position(planned.at) < turn.position + at - _moment(other.at):
                await asyncio.sleep(0.02)

    def _begins(self, planned: PlannedFault) -> None:
        """A fault begins, or is over without having begun."""
        turn = self._turns[planned.id]
        if not turn.begun.is_set():
            turn.position = self._load.position(planned.at)
            turn.begun.set()

    async def _ask_again(self, row: int) -> None:
        line = self._plan.scenario.again[row]
        await self._load.reached(line.at)
        asked = await self._again.ask(row)
        self._progress.note(f"{line.op}: asked for {asked}")
        self._to_come.discard(f"again[{row}]")

    async def _answered(self) -> None:
        """Wait for the first acknowledged operation: a fault shows something only of a system that worked before it.

        Services just started take their time over it. One that never answers gets its faults all the same.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while not self._load.answers.acknowledged and loop.time() < deadline:
            await asyncio.sleep(0.02)

    async def _come_to_rest(self, deadline: float) -> None:
        self._progress.step("waiting until all is done")
        phase = await self._drained(deadline)
        evidence = self._watch.unfinished() if phase == "deadline" else None
        self._recorder.record("run", phase, "run", evidence=evidence)

    async def _read_all(self) -> bool:
        """The final full read; False if more came meanwhile: the system had only seemed to be at rest."""
        await self._health("end")
        self._progress.step("reading everything")
        pulse = self._watch.pulse()
        await self._watch.read_all()
        return self._watch.pulse() == pulse

    async def _drained(self, deadline: float) -> str:
        """``drained`` when the system has come to rest, else ``deadline``.

        At rest: groups have passed all there is, each outcome and dead letter has come, and for ``settle`` after the
        offsets were read, the longest that a lease, a retry or a session may take, nothing more came. Of consumers that
        commit no offsets only silence tells, and it must last longer. After the deadline the system is watched until it
        is seen to move (it is slow) or nothing has moved for so long that it is stuck.
        """
        loop = asyncio.get_running_loop()
        settle = self._plan.system.settle
        while loop.time() < deadline:
            await self._rounds(3, deadline)
            pulse = self._watch.pulse()
            if not self._watch.idle():
                continue
            await self._watch.read_offsets()
            await asyncio.sleep(settle * (SEVERAL if self._watch.silent else 1))
            await self._rounds(3, deadline)
            if self._watch.pulse() == pulse and self._watch.idle():
                return "drained"
        pulse, rounds = self._watch.pulse(), self._watch.rounds
        given_up = loop.time() + SEVERAL * settle + PATIENCE
        while loop.time() < given_up and self._watch.quiet_for() < SEVERAL * settle:
            if self._watch.rounds > rounds and self._watch.pulse() != pulse:
                break  # it moves
            await asyncio.sleep(0.1)
        await self._watch.read_offsets()
        await asyncio.sleep(settle)
        return "deadline"

    async def _rounds(self, count: int, deadline: float) -> None:
        """Wait for so many rounds of the observers.

        The first to end may have begun before what is asked about, and what the offsets say counts once the topics were
        read after them.
        """
        wanted = self._watch.rounds + count
        while self._watch.rounds < wanted and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)

    async def _health(self, when: str) -> None:
        """The harness's own look at every service and dependency, past the proxies."""
        handles = {**self._stack.dependencies, **self._stack.services}

        async def one(name: str) -> None:
            begun = self._recorder.now()
            try:
                await handles[name].ready(HEALTHY_WITHIN)
            except (OneffectError, OSError, TimeoutError) as error:
                self._recorder.record(
                    "health", "bad", "run", t_begin=begun, name=name, when=when, error=str(error) or repr(error)
                )
            else:
                pid = handles[name].pid
                self._recorder.record("health", "good", "run", t_begin=begun, name=name, when=when, pid=pid)

        await asyncio.gather(*(one(name) for name in handles))


def _load(plan: Plan, names: RunNames, directory: Path, recorder: HistoryRecorder) -> Load | LocustLoad:
    """The scenario's own load, or the users that the plan has in its place."""
    from harness.load.locust_load import LocustLoad
    from harness.load.uploads import Load

    shape, door = plan.scenario.load, plan.front_door
    if plan.users is None:
        return Load(shape, door, run=names.run, seed=plan.seed, recorder=recorder)
    folder = directory / "load"
    return LocustLoad(plan.users, shape, door, run=names.run, seed=plan.seed, recorder=recorder, folder=folder)


def _moment(at: float | str) -> float:
    """Seconds, or per cent of the load."""
    return at if isinstance(at, float) else float(at.rstrip("%"))


@asynccontextmanager
async def _background(*works: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Runs ``works`` beside the body and ends with it; what one raises ends the body and is raised here."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(work) for work in works]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
