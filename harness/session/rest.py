"""Checks whether a system is healthy and at rest, and makes the full read by which it is judged."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from harness.cancelling import ended
from harness.errors import OneffectError
from harness.stack import Adopting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from harness.history.recorder import Recorder
    from harness.observers.watch import Watch
    from harness.session.live import LiveSystem
    from harness.session.stacks import Progress

HEALTHY_WITHIN: Final = 30.0
"""Seconds within which a service or dependency must answer the harness past the proxies."""

SEVERAL: Final = 3
"""Multiple of the system's ``settle`` without progress after which the system is stuck, not slow."""

_ROUNDS: Final = 3
"""Rounds of the observers that show where a system stands."""

_AT_MOST: Final = 60.0
"""Seconds past the deadline for a system that seems to be done or still moves: machines are busy at times."""


class Rest:
    """The end of one run's work: rounds of the observers until the system is at rest, then the reads that judge it."""

    def __init__(self, live: LiveSystem, recorder: Recorder, watch: Watch, progress: Progress) -> None:
        self._live, self._recorder, self._watch, self._progress = live, recorder, watch, progress

    async def come(self, deadline: float) -> bool:
        """Wait until the system is at rest, or is given up past ``deadline`` on the loop's clock; record and return which."""
        self._progress.step("waiting for the system to come to rest")
        phase = await self._drained(deadline)
        evidence = None
        if phase == "deadline":
            evidence = {**self._watch.activity.unfinished(), "hidden": await self._watch.hidden()}
        self._recorder.record("run", phase, "run", evidence=evidence)
        return phase == "drained"

    async def read(self, deadline: float) -> None:
        """Read everything while no observer runs; until ``deadline``, repeat if the system was not really at rest."""
        while not await self.read_once() and asyncio.get_running_loop().time() < deadline:
            async with observed(self._live, self._watch, self._recorder):
                await self.come(deadline)

    async def read_once(self) -> bool:
        """Read everything; return False if more arrived meanwhile."""
        await self.health("end")
        self._progress.step("reading everything")
        pulse = self._watch.activity.pulse()
        await self._watch.read_all()
        return self._watch.activity.pulse() == pulse

    async def _drained(self, deadline: float) -> str:
        """Return ``drained`` once the system has come to rest, else ``deadline``.

        At rest means that groups have passed all records, every outcome and dead letter has arrived, and nothing more
        came for ``settle`` (the longest lease, retry or session) after the offsets were read. Consumers that commit no
        offsets, or apply events after them, must stay silent for longer. Past the deadline, go on while the system
        moves: it comes to rest, or stops for so long that it is stuck, or is too slow.
        """
        loop = asyncio.get_running_loop()
        settle = self._live.system.settle
        while loop.time() < self._until(deadline):
            fresh = await self._rounds(deadline)
            pulse = self._watch.activity.pulse()
            if not (fresh and self._watch.activity.idle()):
                continue
            await self._watch.read_offsets()
            await asyncio.sleep(settle * (SEVERAL if self._watch.activity.told_by_silence else 1))
            confirmed = (
                await self._rounds(deadline) and self._watch.activity.pulse() == pulse and self._watch.activity.idle()
            )
            # What a transaction hides is neither seen nor passed, and may be applied all the same.
            if confirmed and not await self._watch.hidden():
                return "drained"
        await self._watch.read_offsets()
        await asyncio.sleep(settle)
        return "deadline"

    async def _rounds(self, deadline: float) -> bool:
        """Wait for some rounds of the observers; False if it is time to give up first.

        The first may have begun before the call, and offsets count only once the topics were read after them.
        """
        target = self._watch.rounds + _ROUNDS
        with self._watch.without_pauses() if self._watch.activity.idle() else nullcontext():
            while self._watch.rounds < target and asyncio.get_running_loop().time() < self._until(deadline):
                await asyncio.sleep(0.02)
        return self._watch.rounds >= target

    def _until(self, deadline: float) -> float:
        """Return when to give up: later if the system still moves, or seems done and this is only being confirmed."""
        stuck = SEVERAL * self._live.system.settle
        if self._watch.activity.idle():
            # It must be seen at rest twice, however long a look takes.
            return deadline + _AT_MOST + stuck + 2 * _ROUNDS * self._watch.round_seconds
        # Long enough to see it stop, too: if given up earlier, it would be neither stuck nor slow.
        return deadline + _AT_MOST + stuck if self._watch.activity.quiet_for() < stuck else deadline

    async def health(self, when: str) -> None:
        """Check every service and dependency past the proxies, and record its health."""
        stack = self._live.stack
        # Code that a test starts is not there yet at the start.
        later = when == "start" and isinstance(stack, Adopting)
        handles = {**stack.dependencies, **({} if later else stack.services)}

        async def check(name: str) -> None:
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

        await asyncio.gather(*(check(name) for name in handles))


async def open_watch(live: LiveSystem, watch: Watch, folder: Path) -> None:
    """Connect a watch's readers, and try each query once; StackError if one fails. Commands run in ``folder``."""
    from harness.load.locust_load import environment
    from harness.observers.forms import Reach

    blobs = live.system.blobs
    reach = Reach(
        live.filled,
        environment=lambda service: {**environment(), **live.environment(service)},
        folder=folder,
        store=lambda dependency, database: live.redis[dependency].of(database),
    )
    await watch.open(reach, live.filled(blobs.get) if blobs is not None else None)
    await watch.try_out()


@asynccontextmanager
async def observed(live: LiveSystem, watch: Watch, recorder: Recorder) -> AsyncIterator[None]:
    """Run every observer while the body runs; an observer's error ends the body and is raised here."""
    from harness.observers.claims import listen

    looks = [watch.keep_looking(), watch.keep_looking_after_deaths(), watch.keep_reading_blobs()]
    looks += [listen(store, recorder) for store in live.redis.values()]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(look) for look in looks]
        try:
            yield
        finally:
            await ended(running)
