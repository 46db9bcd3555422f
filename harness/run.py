"""One run, top to bottom: plan -> stack -> load, faults and observers -> drain -> final read -> verdict."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Protocol

import orjson

from harness.errors import FaultError, FileError, OneffectError
from harness.history.part import Clock
from harness.history.recorder import HistoryRecorder
from harness.log import NAME, logged
from harness.plan import Plan, PlannedFault, refuse_what_lacks
from harness.redaction import Redaction
from harness.stack import RunNames, Stack
from harness.verdict import Finding, Verdict

if TYPE_CHECKING:
    from harness.load.locust_load import LocustLoad
    from harness.load.uploads import Load

HEALTHY_WITHIN = 30.0
"""Seconds that a service or dependency may take to answer the harness past the proxies."""


PATIENCE = 60.0
"""Seconds more that a fault waits for a first acknowledged operation before it comes, and stays in place if nothing of
the system's has met it yet: machines are busy at times."""


SEVERAL = 3
"""So many times the system's ``settle`` without a movement: what has not come by then is stuck, and not slow."""


class Progress(Protocol):
    """Where a run says how far it is."""

    def step(self, text: str) -> None:
        """A new stage."""
        ...

    def note(self, text: str) -> None:
        """Something that happened within it."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """A judged run."""

    directory: Path
    verdict: Verdict
    findings: Sequence[Finding]
    as_expected: bool


def open_stack(plan: Plan, folder: Path) -> Stack:
    """The plan's stack, not started; ``folder`` is for its logs. Refuses faults that it cannot perform."""
    from harness.stacks import make_stack

    stack = make_stack(
        plan.stack, plan.system, folder, working_directory=plan.system_path.parent, addresses=plan.addresses
    )
    refuse_what_lacks(plan, stack)
    return stack


async def run(plan: Plan, *, out: Path, stack: Stack | None = None, progress: Progress) -> Result:
    """Execute a plan and judge it. A ``stack`` that is given is running already, and is left running.

    The run directory is made under ``out``. Whatever ends the run early (an error, a signal) leaves a history
    that can be read, and nothing running that this call started.
    """
    run_id = f"r{secrets.token_hex(4)}"
    directory = _new_directory(out, plan, run_id)
    redaction = Redaction(plan.system, os.environ)
    async with AsyncExitStack() as cleanup:
        cleanup.enter_context(redaction.messages())
        cleanup.enter_context(logged(directory / "logs" / NAME, redaction.text))
        # Services and Locust write for themselves: what they wrote of secrets goes once they are down.
        for written in ("logs", "load"):
            cleanup.push_async_callback(asyncio.to_thread, redaction.folder, directory / written)
        if stack is None:
            stack = open_stack(plan, directory / "logs" / "stack")
            cleanup.push_async_callback(stack.stop)
            progress.step("starting brokers, stores and proxies")
            await stack.start()
        names = stack.names(run_id)
        header = _header(plan, stack, names)
        recorder = HistoryRecorder(directory / "history.jsonl", header, clock=time.monotonic_ns, hide=redaction.value)
        cleanup.callback(recorder.close)
        try:
            await _Stage(plan, stack, names, directory, recorder, progress, redaction).play()
        except BaseException as error:
            recorder.record("run", "interrupted", "run", error=f"{type(error).__name__}: {error}")
            raise
        recorder.record("run", "finished", "run")
    progress.step("judging")
    # In a thread: another run may be under way on this loop, and its load keeps its times.
    return await asyncio.to_thread(judge_directory, directory)


def judge_directory(directory: Path) -> Result:
    """Judge a recorded run (again), offline, and write verdict.json and report.html; FileError without a history."""
    from harness.checkers.judge import explained, judge, overall
    from harness.history.reader import History
    from harness.reports import html
    from harness.reports.document import as_expected, read, write

    path = directory / "history.jsonl"
    if not path.is_file():
        raise FileError("there is no history.jsonl here; name a run directory", path=str(directory))
    with History(path) as history:
        findings = judge(history)
        verdict = overall(findings)
        templates = explained(findings)
        write(directory / "verdict.json", history, findings, verdict, templates)
        html.write(directory / "report.html", history, read(directory), templates)
        return Result(directory, verdict, findings, as_expected(history, findings, verdict))


@dataclass(slots=True)
class _Turn:
    """When a fault began: where the load was then, in the unit of its moment."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    position: float = 0.0


class _Stage:
    """One run's moving parts, on a stack that runs."""

    def __init__(  # noqa: PLR0913, PLR0917 - what one run consists of
        self,
        plan: Plan,
        stack: Stack,
        names: RunNames,
        directory: Path,
        recorder: HistoryRecorder,
        progress: Progress,
        redaction: Redaction,
    ) -> None:
        from harness.again import Again
        from harness.clients.http import HttpClient
        from harness.live import LiveSystem
        from harness.observers.watch import Watch

        self._plan, self._stack, self._names, self._directory = plan, stack, names, directory
        self._recorder, self._progress, self._redaction = recorder, progress, redaction
        self._to_come = {planned.id for planned in plan.faults if planned.fault.heals}
        self._to_come |= {f"again[{row}]" for row in range(len(plan.scenario.again))}
        """Why the load goes on: faults that are to come or in place, and what is to be asked for again."""
        self._turns = {planned.id: _Turn() for planned in plan.faults}
        self._over = False
        """Whether the load has ended."""
        system = plan.system
        self._live = LiveSystem(system, stack, names)
        self._kafka, self._redis = self._live.kafka, self._live.redis
        self._http = HttpClient()
        self._load = _load(plan, names, directory, recorder)
        self._watch = Watch(system, recorder, kafka=self._kafka, http=self._http, names=names)
        self._again = Again(plan, self._live, self._watch, recorder, self._http, patience=PATIENCE)

    async def play(self) -> None:
        """Services up, load under faults, drain, final read, services down."""
        async with AsyncExitStack() as cleanup:
            cleanup.push_async_callback(self._http.close)
            cleanup.push_async_callback(self._live.close)
            await self._live.connect()
            cleanup.push_async_callback(self._stack.stop_services)
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
            starting.create_task(self._live.start_services(self._directory, self._plan.variant))
            starting.create_task(asyncio.to_thread(self._load.prepare))
        system, filled = self._plan.system, self._live.filled
        self._load.open(self._http, filled(f"http://{{{self._plan.front_door.to}}}{self._plan.front_door.post}"))
        urls = {name: filled(effects.sql.url, name) for name, effects in system.effects.items()}
        await self._watch.open(urls, filled(system.blobs.get) if system.blobs is not None else None)
        await self._watch.try_out()
        self._join()
        self._again.open()

    def _join(self) -> None:
        """Have the load and the observers tell one another what must follow, and what has."""
        tally = self._load.tally
        tally.on_asked = self._watch.asked
        tally.on_acknowledged = self._watch.acknowledged
        tally.on_taken = self._again.drawn.note
        tally.has_outcome = self._watch.has_outcome
        self._watch.on_outcome(tally.outcome)

    def _observers(self) -> list[Coroutine[object, object, None]]:
        from harness.observers.claims import listen

        looks = [self._watch.keep_looking(), self._watch.keep_reading_blobs()]
        return [*looks, *(listen(store, self._recorder) for store in self._redis.values())]

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
        from harness.faults.base import Arena

        await self._load.reached(planned.at)
        await self._answered()
        await self._in_turn(planned)
        arena = Arena(
            stack=self._stack,
            random=Random(planned.seed),
            broker=self._kafka,
            redis=self._redis,
            deadline=self._plan.scenario.drain,
            patience=PATIENCE,
            spoil=self._watch.spoiled.note,
            begun=lambda: self._load.tally.begun,
            under_way=lambda: self._load.tally.begun - self._load.tally.ended,
        )
        self._progress.note(f"{planned.fault.name} on {planned.target}")
        try:
            with self._redaction.messages():
                await apply(planned, arena, self._recorder, begun=lambda: self._begins(planned))
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
        while not self._load.tally.acknowledged and loop.time() < deadline:
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


def _new_directory(out: Path, plan: Plan, run_id: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    directory = out / f"{stamp}-{plan.label.replace(' ', '-')}-{plan.seed}-{run_id}"
    directory.mkdir(parents=True)
    (directory / "plan.json").write_bytes(orjson.dumps(plan.document, option=orjson.OPT_INDENT_2))
    link = out / f".latest-{run_id}"
    link.symlink_to(directory.name)
    link.replace(out / "latest")
    return directory


def _header(plan: Plan, stack: Stack, names: RunNames) -> dict[str, object]:
    return {
        "run": names.run,
        "plan": plan.document,
        "plan_digest": plan.digest,
        "seed": plan.seed,
        "label": plan.label,
        "expected": plan.expected.model_dump(),
        "system_given": plan.system_given,
        "scenario_path": os.path.relpath(plan.scenario_path),
        "system_path": os.path.relpath(plan.system_path),
        **({"addresses_path": os.path.relpath(plan.addresses)} if plan.addresses is not None else {}),
        "versions": {"oneffect": version("oneffect"), "python": platform.python_version(), **stack.versions()},
        "started": datetime.now(UTC).isoformat(),
        "clock": Clock.now().document(),
    }
