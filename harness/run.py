"""One run, top to bottom: plan -> session -> load, faults and observers -> drain -> final read -> verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from math import inf
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from harness.errors import FaultError, FileError
from harness.reports.document import Document
from harness.session.rest import SEVERAL, Rest, observed, open_watch
from harness.session.session import Session, opened

if TYPE_CHECKING:
    from harness.clients.http import HttpClient
    from harness.faults.base import PlannedFault
    from harness.history.recorder import HistoryRecorder
    from harness.load.locust_load import LocustLoad
    from harness.load.publishing import Publishing
    from harness.load.uploads import Load
    from harness.observers.watch import Watch
    from harness.plan import Plan
    from harness.reports.case import Case
    from harness.session.live import LiveSystem
    from harness.session.stacks import Progress, Stacks
    from harness.stack import Held, Stack
    from harness.taps.trigger import Trigger

PATIENCE = 60.0
"""Seconds that a fault waits for the first acknowledged operation, and stays beyond its ``for:`` if it has not bitten:
machines are busy at times."""

MESSAGE_WITHIN = PATIENCE / 3
"""Seconds that a fault waits for its message before it acts by the clock; timed commits come every 5 seconds."""


@dataclass(frozen=True, slots=True)
class Result:
    """A judged run: its directory, and what its verdict.json says."""

    directory: Path
    document: Document


class AtRest:
    """A run that came to rest and was read for its verdict; its services still run."""

    def __init__(self, plan: Plan, session: Session, watch: Watch, http: HttpClient, progress: Progress) -> None:
        self.plan, self.session, self.watch, self.http, self.progress = plan, session, watch, http, progress


After = Callable[[AtRest], Awaitable[None]]
"""Work on a run at rest before its services are stopped; the run's history does not record it."""


async def execute(plan: Plan, stacks: Stacks, *, progress: Progress, after: After | None = None) -> Case:
    """Run and judge a plan on its warm stack; if the run ends early or leaves it broken, the next one gets a new stack."""
    from harness.reports.case import Case

    try:
        stack = await stacks.of(plan, progress)
        begun = time.monotonic()
        result = await run(plan, out=stacks.out, stack=stack, progress=progress, after=after)
        seconds = time.monotonic() - begun
        await stacks.check(plan)
    except BaseException:
        await stacks.drop(plan)
        raise
    return Case(
        plan.scenario.name,
        plan.variant,
        plan.scenario_path,
        seconds,
        directory=result.directory,
        document=result.document,
    )


async def run(plan: Plan, *, out: Path, stack: Stack, progress: Progress, after: After | None = None) -> Result:
    """Execute and judge a plan on a running stack, which stays up; create its run directory under ``out``."""
    async with opened(plan, stack, out) as session:
        await _LiveRun(plan, session, progress).play(after)
    progress.step("judging")
    # In a thread: judging must not delay the load of another run on this loop.
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


class _LiveRun:
    """One run under way on a running stack."""

    def __init__(self, plan: Plan, session: Session, progress: Progress) -> None:
        from harness.clients.http import HttpClient
        from harness.faults.turns import Turns
        from harness.observers.known import Known
        from harness.observers.watch import Watch
        from harness.session.again import Again
        from harness.session.following import Following

        self._plan, self._session, self._progress = plan, session, progress
        self._live, self._recorder = session.live, session.recorder
        self._stack = self._live.stack
        self._to_come = {planned.id for planned in plan.faults if planned.fault.heals or planned.when is not None}
        self._to_come |= {f"again[{row}]" for row in range(len(plan.scenario.again))}
        """Reasons for the load to go on: faults and requests of ``again`` still to come or under way."""
        self._over_at: float | None = None
        """When the load ended, on the loop's clock; None while it goes on."""
        names = self._live.names
        self._http = HttpClient()
        self._load = _load(plan, self._live, session.directory, self._recorder)
        self._turns = Turns(plan.faults, self._load, lambda: self._over_at is not None)
        self._watch = Watch(plan.system, self._recorder, kafka=self._live.kafka, http=self._http, names=names)
        self._rest = Rest(self._live, self._recorder, self._watch, progress)
        self._known = Known()
        self._following = Following(
            plan.faults,
            self._known,
            self._watch.look_at_topics,
            self._live.kafka.committed,
            plan.scenario.drain,
        )
        self._again = Again(plan, self._live, self._watch, self._recorder, self._http, patience=PATIENCE)

    async def play(self, after: After | None) -> None:
        """Start services, load under faults, drain, read everything; then call ``after``, if given."""
        async with AsyncExitStack() as cleanup:
            cleanup.push_async_callback(self._http.close)
            cleanup.push_async_callback(self._watch.close)
            self._progress.step("starting services")
            await self._start()
            await self._rest.health("start")
            async with observed(self._live, self._watch, self._recorder):
                await self._load_under_faults()
                deadline = asyncio.get_running_loop().time() + self._plan.scenario.drain
                await self._rest.come(deadline)
            await self._rest.read(deadline)
            if after is not None:
                await after(AtRest(self._plan, self._session, self._watch, self._http, self._progress))

    async def _start(self) -> None:
        from harness.load.locust_load import LocustLoad
        from harness.load.uploads import Load

        async with asyncio.TaskGroup() as starting:
            starting.create_task(self._live.start_services(self._session.directory, self._plan.variant))
            starting.create_task(asyncio.to_thread(self._load.prepare))
        if isinstance(self._load, Load):
            self._load.open(self._live.sender(self._http, self._plan.folder))
        elif isinstance(self._load, LocustLoad):
            self._load.open(self._live.front_door())
        await open_watch(self._live, self._watch, self._plan.folder)
        if any(planned.when is not None and planned.when.follows is not None for planned in self._plan.faults):
            self._watch.know(self._known)
        self._join()
        self._again.open()

    def _join(self) -> None:
        """Connect load and observers: answers decide which outcomes must follow, outcomes count as answers."""
        answers = self._load.answers
        answers.on_asked = self._watch.asked
        answers.on_acknowledged = self._watch.acknowledged
        answers.on_taken = self._again.drawn.note
        answers.has_outcome = self._watch.has_outcome
        self._watch.on_outcome(answers.outcome)

    async def _load_under_faults(self) -> None:
        """Run the load, with each fault and each request of ``again`` at its moment, until all is over and healed."""
        self._progress.step(f"load: {self._load.scale}, {len(self._plan.faults)} faults")
        async with asyncio.TaskGroup() as tasks:
            for planned in self._plan.faults:
                tasks.create_task(self._fault(planned))
            for row in range(len(self._plan.scenario.again)):
                tasks.create_task(self._ask_again(row))
            await self._load.run(more=lambda: bool(self._to_come))
            self._over_at = asyncio.get_running_loop().time()
            self._recorder.record("run", "loaded", "run")
        self._recorder.record("run", "healed", "run")

    async def _fault(self, planned: PlannedFault) -> None:
        if planned.when is not None and (planned.at is None or self._session.taps is not None):
            unmet = await self._at_messages(planned)
            if planned.at is None and unmet:
                self._missed(planned, unmet)
            if planned.at is None or not unmet:
                return
        else:
            await self._due(planned)
            unmet = "its link has no tap" if planned.when is not None else ""
        self._progress.note(
            f"{planned.fault.name} on {planned.target}" + (f", by the clock: {unmet}" if unmet else "")
        )
        await self._apply(planned, unmet=unmet)

    async def _due(self, planned: PlannedFault) -> None:
        """Wait for a fault's moment and its turn; without a moment, only for the first acknowledged operation."""
        if planned.at is not None:
            await self._load.reached(planned.at)
        await self._answered()
        await self._turns.wait(planned)

    async def _at_messages(self, planned: PlannedFault) -> str:
        """Apply a fault at its message, or at each one until the load is over; return why if none came, else ``""``."""
        from harness.faults.acting import at_each

        when, taps = planned.when, self._session.taps
        if when is None or taps is None:
            raise FaultError(f"{planned.fault.name} on {planned.target} has no message to act at")
        within = MESSAGE_WITHIN if planned.at is not None else None
        trigger = when.trigger()
        self._following.wait(when.follows, trigger)
        # The first message with a key may come before the first upload is acknowledged.
        trigger.early = True
        told = False
        clock = asyncio.get_running_loop()
        since = clock.time()
        """When it began to wait; messages at which it does not act make it wait no longer."""

        async def met(applied: int) -> Held | None:
            # A fault that has acted does not wait for further messages once the load is over.
            still = 0.0 if applied else SEVERAL * self._plan.system.settle
            return await self._met(trigger, since, still, within, when.follows)

        async def act(held: Held) -> bool:
            nonlocal told, since
            if not await self._following.leads(planned, held):
                return False  # another fault must follow its event, and it has none
            trigger.shut = planned.fault.heals
            if not told:
                self._progress.note(f"{planned.fault.name} on {planned.target}")
                told = True
            try:
                if not await self._apply(planned.met_on(held.link), held):
                    self._following.forget(planned)
                    return False
            finally:
                trigger.shut = False
            since = clock.time()
            return True

        with taps.armed(trigger):
            await self._due(planned)
            await self._begun(when.after)
            trigger.early, since = False, clock.time()
            if await at_each(trigger, met, act, once=when.every is None):
                return ""
        why = self._following.vain(when.follows, self._to_come)
        return when.unmet(trigger.counted) + (f": {why}" if why else "")

    async def _begun(self, uploads: int) -> None:
        """Wait until this many uploads have begun, or the load is over."""
        while self._load.answers.begun < uploads and self._over_at is None:
            await asyncio.sleep(0.02)

    async def _met(
        self, trigger: Trigger, since: float, still: float, within: float | None, follows: int | None
    ) -> Held | None:
        """Wait for the trigger's next message; ``since`` is when the wait began, on the loop's clock.

        None if none comes ``within`` this many seconds, or for ``still`` seconds after the load is over, or if the row that it
        follows will bring none.
        """
        from harness.faults.acting import waiting

        now = asyncio.get_running_loop().time

        def left() -> float:
            """Return for how many seconds to wait: endless while the load goes on, unless ``within`` bounds it."""
            quiet = max(since, self._over_at) + still if self._over_at is not None else inf
            return min(quiet, since + within if within is not None else inf) - now()

        if still and left() < 0:
            return None  # messages came all the time, and it acted at none
        with waiting(trigger) as met:
            while not met.done():
                await asyncio.wait([met], timeout=max(0.0, min(left(), 0.2)))
                if not met.done() and (left() <= 0 or self._following.vain(follows, self._to_come)):
                    return None
            return met.result()

    def _missed(self, planned: PlannedFault, why: str) -> None:
        """Record that a fault's message never came."""
        fault = planned.fault
        about = {"fault": planned.id, "name": fault.name, "target": planned.target, "heals": fault.heals}
        self._recorder.record("fault", "failed", f"fault:{planned.id}", **about, error=why)
        self._progress.note(f"{fault.name} on {planned.target}: {why}")
        self._to_come.discard(planned.id)

    async def _apply(self, planned: PlannedFault, held: Held | None = None, *, unmet: str = "") -> bool:
        """Apply a fault; False if nothing was at stake at its message, so that it must wait for another."""
        from harness.faults.apply import apply
        from harness.faults.base import FaultContext, no_taps

        taps = self._session.taps
        context = FaultContext(
            planned,
            self._recorder,
            self._stack,
            self._live.kafka,
            Random(planned.seed),
            redis=self._live.redis,
            deadline=max(self._plan.scenario.drain, PATIENCE),
            patience=PATIENCE,
            held=held,
            unmet=unmet,
            armed=taps.armed if taps is not None else no_taps,
            passed=self._watch.committed,
            spoil=self._watch.spoiled.note,
            overwritten=self._watch.overwritten,
            begun=lambda: self._load.answers.begun,
            under_way=lambda: self._load.answers.under_way,
            on_killed=self._watch.look_soon,
            on_armed=lambda: self._turns.armed(planned),
            overlapped=lambda: self._turns.overlapped(context),
        )
        try:
            with self._session.redaction.messages():
                if not await apply(context, begun=lambda: self._turns.begins(planned)):
                    return False
        except FaultError as error:
            # The history has the failure. The run goes on: a system that does not come back gets a verdict too.
            self._progress.note(str(error).partition("\n")[0])
        self._turns.begins(planned)
        self._turns.armed(planned)
        self._to_come.discard(planned.id)
        return True

    async def _ask_again(self, row: int) -> None:
        line = self._plan.scenario.again[row]
        await self._load.reached(line.at)
        asked = await self._again.ask(row)
        self._progress.note(f"{line.op}: asked for {asked}")
        self._to_come.discard(f"again[{row}]")

    async def _answered(self) -> None:
        """Wait for the first acknowledged operation: a fault proves something only about a system that worked before.

        Services just started need a while. A system that never answers gets its faults all the same.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while not self._load.answers.acknowledged and loop.time() < deadline:
            await asyncio.sleep(0.02)


def _load(plan: Plan, live: LiveSystem, directory: Path, recorder: HistoryRecorder) -> Load | Publishing | LocustLoad:
    """Make the scenario's own load, or that of the plan's users."""
    from harness.load.locust_load import LocustLoad
    from harness.load.uploads import Load

    shape, seed, run = plan.scenario.load, plan.seed, live.names.run
    if (door := plan.system.load.uploads) is None:
        return live.publishing(shape, run=run, seed=seed, recorder=recorder, folder=plan.folder)
    if plan.users is None:
        return Load(shape, door, run=run, seed=seed, recorder=recorder, folder=plan.folder)
    folder = directory / "load"
    return LocustLoad(plan.users, shape, plan.front_door, run=run, seed=seed, recorder=recorder, folder=folder)
