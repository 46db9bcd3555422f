"""One run in steps, in the event loop: uploads and faults on request, then the same drain and reads as any run."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AsyncExitStack, contextmanager
from random import Random
from typing import TYPE_CHECKING, TypedDict

from harness.errors import OneffectError, PlanRefused, UsageError
from harness.faults import fault_type
from harness.faults.base import FaultContext, PlannedFault, no_taps
from harness.hold.asked import plan_asked
from harness.session.rest import SEVERAL, Rest, observed, open_watch
from harness.session.session import Session, opened
from harness.stack import Adopting
from harness.steps.held import FaultRecorder, HeldFault
from harness.steps.places import Places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from harness.load.answers import Answers
    from harness.scenario import LoadShape
    from harness.session.stacks import Progress, Stacks
    from harness.steps.plan import StepsPlan

CONNECTED_WITHIN = 30.0
"""Seconds that a fault on a link waits for the test's code to connect there, once a load has begun."""

OVER = "this run is over; open the system again for another: with oneffect.system(…)"


async def play(
    plan: StepsPlan,
    stacks: Stacks,
    progress: Progress,
    ready: Callable[[Steps], object],
    *,
    keeps: Callable[[], bool],
) -> None:
    """Open the plan's system on its warm stack, hand out its steps, and wait until they are over; then read everything.

    If anything ends the run early, the next one gets a new stack, unless ``keeps`` says that this one is intact. So it
    does if the run leaves a dependency or a link broken.
    """
    try:
        stack = await stacks.of(plan, progress)
        async with opened(plan, stack, stacks.out) as session:
            await Steps(plan, session, progress).play(ready)
    except BaseException:
        if not keeps():
            await stacks.drop(plan)
        raise
    finally:
        if plan.adopted is not None:
            # Its proxies lead to what the test has now; the next test may have another broker.
            await stacks.drop(plan)
        else:
            await stacks.check(plan)


class _Own(TypedDict):
    """A load's own parameters: the prefix of its ids, and its seed."""

    run: str
    seed: int


class Steps:
    """The steps of one run; each is a coroutine of its own beside ``play``."""

    def __init__(self, plan: StepsPlan, session: Session, progress: Progress) -> None:
        from harness.clients.http import HttpClient
        from harness.observers.watch import Watch

        self._plan, self._session, self._progress = plan, session, progress
        self._live, self._recorder = session.live, session.recorder
        self.directory = session.directory
        self.places: Places
        """Where everything listens, once it is up."""
        self._http = HttpClient()
        self._watch = Watch(
            plan.system, session.recorder, kafka=self._live.kafka, http=self._http, names=self._live.names
        )
        self._rest = Rest(self._live, session.recorder, self._watch, progress)
        self._of_faults = FaultRecorder(session.recorder)
        self._loads: list[Answers] = []
        self._planned = 0
        self._in_place: list[HeldFault] = []
        self._under_way: set[asyncio.Task[object]] = set()
        self._asked: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        """The seconds that the system may take to come to rest before it is judged."""

    async def play(self, ready: Callable[[Steps], object]) -> None:
        """Start the services, hand out the steps, and read everything once a verdict is asked for."""
        async with AsyncExitStack() as cleanup:
            cleanup.push_async_callback(self._http.close)
            cleanup.push_async_callback(self._watch.close)
            await self._start()
            cleanup.push_async_callback(self._heal)
            cleanup.push_async_callback(self._break_off)
            async with observed(self._live, self._watch, self._recorder):
                ready(self)
                drain = await self._asked
                await self._break_off()
                self._recorder.record("run", "loaded", "run")
                deadline = asyncio.get_running_loop().time() + drain
                await self._note_unused()
                if not self._in_place:
                    await self._note_left_on()
                    self._recorder.record("run", "healed", "run")
                    await self._rest.come(deadline)
            if self._in_place:
                # A system that is still broken does not come to rest; this read is only evidence of that.
                await self._rest.read_once()
            else:
                await self._rest.read(deadline)
            self._of_faults.complete = True

    async def _note_unused(self) -> None:
        """Record the links on which the test's code has never connected: it bypassed them."""
        if isinstance(self._live.stack, Adopting):
            for link in await self._live.stack.unused():
                self._recorder.record("link", "unused", "run", link=link)

    async def _note_left_on(self) -> None:
        """Record toxics that another client of Toxiproxy has left on a proxy, as faults that were never healed."""
        for number, link in enumerate(self._live.stack.links.values(), 1):
            try:
                left = ", ".join(sorted(await link.toxics()))
            except (OneffectError, OSError, TimeoutError) as error:
                left = f"unknown: {error or type(error).__name__}"
            if left:
                about = {"fault": f"left{number}", "name": "toxiproxy", "target": link.name, "heals": True}
                self._recorder.record("fault", "injected", "run", **about)
                why = f"a client of Toxiproxy left on the proxy {link.proxy}: {left}"
                self._recorder.record("fault", "failed", "run", **about, error=why)

    def over(self, drain: float) -> None:
        """Let ``play`` drain, with a deadline ``drain`` seconds from now, and read everything."""
        if not self._asked.done():
            self._asked.set_result(drain)

    async def _start(self) -> None:
        self._progress.step("starting services")
        await self._live.start_services(self.directory, self._plan.variant)
        await open_watch(self._live, self._watch, self._plan.folder)
        self._watch.on_outcome(self._outcome)
        await self._rest.health("start")
        self.places = Places.of(self._live)

    def _outcome(self, upload_id: str) -> None:
        for answers in self._loads:
            answers.outcome(upload_id)

    async def upload(self, shape: LoadShape) -> int:
        """Send uploads at their rate, and return how many were acknowledged once each has its answer."""
        from harness.load.uploads import Load

        with self._step():
            if (door := self._plan.system.load.uploads) is None:
                raise UsageError(
                    "load.publish: nothing can be uploaded, as this system has no front door; publish events in its place: "
                    "shop.publish(count=20)"
                )
            load = Load(shape, door, recorder=self._recorder, folder=self._plan.folder, **self._next("upload"))
            self._join(load.answers, load.scale)
            await asyncio.to_thread(load.prepare)
            load.open(self._live.sender(self._http, self._plan.folder))
            await load.run()
            return load.answers.acknowledged

    async def publish(self, shape: LoadShape) -> int:
        """Publish events at their rate, and return how many were acknowledged once each has its answer."""
        with self._step():
            if self._plan.system.load.publish is None:
                raise UsageError(
                    "load: this system's load uploads, so there are no events to publish; upload in their place: "
                    "shop.upload(count=20)"
                )
            load = self._live.publishing(
                shape, recorder=self._recorder, folder=self._plan.folder, **self._next("publish")
            )
            self._join(load.answers, load.scale)
            await load.run()
            return load.answers.acknowledged

    def _next(self, what: str) -> _Own:
        """Return the id prefix and the seed of the next load."""
        number = len(self._loads) + 1
        seed = int.from_bytes(hashlib.sha256(f"{self._plan.seed}:{what}:{number}".encode()).digest()[:6])
        return {"run": f"{self._live.names.run}-{number}", "seed": seed}

    def _join(self, answers: Answers, scale: str) -> None:
        """Connect a load and the observers."""
        answers.on_asked, answers.on_acknowledged = self._watch.asked, self._watch.acknowledged
        answers.has_outcome = self._watch.has_outcome
        self._loads.append(answers)
        self._progress.step(f"load: {scale}")

    async def drain(self, seconds: float) -> bool:
        """Wait ``seconds`` for the system to be at rest, about a minute more while it moves; return whether it is."""
        with self._step():
            if self._in_place:
                raise UsageError(
                    "a system with a fault in place does not come to rest; leave the fault's block first"
                )
            return await self._rest.come(asyncio.get_running_loop().time() + seconds)

    async def inject(self, name: str, on: str, parameters: Mapping[str, object]) -> HeldFault:
        """Inject a fault that stays until its ``leave``; PlanRefused if it cannot be, FaultError if that fails."""
        with self._step():
            # Any duration will do: the block decides how long the fault lasts.
            lasts = "1s" if fault_type(name).heals else None
            fault_on = self._plan.target(name, on)
            planned = plan_asked(
                name,
                fault_on,
                lasts,
                parameters,
                system=self._plan.system,
                stack=self._live.stack,
                seed=self._plan.seed,
                after=self._planned,
            )
            self._check_messages(planned)
            self._planned += len(planned)
            if isinstance(self._live.stack, Adopting) and any(answers.begun for answers in self._loads):
                # A fault on a link before the code has connected would only keep it from connecting.
                await self._live.stack.used({each.target for each in planned}, CONNECTED_WITHIN)
            taps = self._session.taps
            contexts = [
                FaultContext(
                    each,
                    self._of_faults,
                    self._live.stack,
                    self._live.kafka,
                    Random(each.seed),
                    redis=self._live.redis,
                    on_killed=self._watch.look_soon,
                    armed=taps.armed if taps is not None else no_taps,
                    passed=self._watch.committed,
                    spoil=self._watch.spoiled.note,
                    overwritten=self._watch.overwritten,
                    begun=lambda: sum(answers.begun for answers in self._loads),
                    under_way=lambda: sum(answers.under_way for answers in self._loads),
                )
                for each in planned
            ]
            fault = HeldFault(contexts, self._session.redaction, still=SEVERAL * self._plan.system.settle)
            if shared := sorted(fault.takes & {taken for other in self._in_place for taken in other.takes}):
                raise PlanRefused(
                    f"{name} on {on}: another fault is on {shared[0]}, and the two take turns; leave its block first"
                )
            self._progress.step(f"{name} on {on}")
            self._in_place.append(fault)
            try:
                await fault.enter()
            except BaseException:
                self._in_place.remove(fault)
                raise
            return fault

    def _check_messages(self, planned: Sequence[PlannedFault]) -> None:
        """Raise PlanRefused for a message that no block can wait for, or that no tap will see."""
        for condition in {one for each in planned for one in (each.when, each.until) if one is not None}:
            if condition.follows is not None:
                raise PlanRefused("when.follows: a block has no rows to follow; write a scenario for this one")
            if condition.after:
                raise PlanRefused("when.after: begin the block after these uploads, and leave it out")
            if unseen := sorted(set(condition.links) - self._plan.taps.keys()):
                raise PlanRefused(f'when: no tap is on {unseen[0]}; open the system with taps="all"')
        for each in planned:
            if each.when is not None and each.when.every is not None and each.fault.heals:
                raise PlanRefused(
                    f"when.every: {each.fault.name} stays until its block is left, so it acts once; write nth in its place"
                )

    async def leave(self, fault: HeldFault, *, early: bool) -> None:
        """Release a fault and wait until it has healed; ``early``: without waiting for it to bite."""
        if fault not in self._in_place:
            return  # the run is over, and has healed it
        try:
            await (fault.heal() if early else fault.leave())
        finally:
            self._in_place = [other for other in self._in_place if other is not fault]

    async def _heal(self) -> None:
        for fault in reversed(self._in_place):
            await fault.heal()
        self._in_place.clear()

    async def _break_off(self) -> None:
        """Cancel the steps under way, for whose results nobody waits any more, and wait until they have ended."""
        works = list(self._under_way)
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    @contextmanager
    def _step(self) -> Iterator[None]:
        """The scope of one step: the end of the run cancels it, and secrets are removed from its errors."""
        if self._asked.done():
            raise UsageError(OVER)
        task = asyncio.current_task()
        assert task is not None, "a step is a task"  # noqa: S101
        self._under_way.add(task)
        try:
            with self._session.redaction.messages():
                yield
        finally:
            self._under_way.discard(task)
