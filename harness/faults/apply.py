"""Wraps every fault: records it, looks for its evidence, bounds it in time, and heals it whatever happens."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager as Scope
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from harness.cancelling import ended
from harness.errors import FaultError, OneffectError
from harness.faults.message import GivenUpError, passes_nothing
from harness.faults.patience import AT_MOST, Patience
from harness.faults.work import ENOUGH, Work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from harness.faults.base import Evidence, FaultContext, Injected, Look
    from harness.stack import Fields

EVERY = 0.05
"""Seconds between looks."""

INJECTING = 150.0
"""Seconds that an injection may take beside its waits; the slowest stops replicas, waits for their group, and starts them."""


HEALING = 150.0
"""Seconds that a heal may take; the slowest runs a command that starts a process, and waits until it answers."""


async def apply(context: FaultContext, begun: Callable[[], object] = lambda: None) -> bool:
    """Inject a fault, wait, and heal it; a fault that does not heal has ``context.deadline`` seconds to bite.

    A fault that heals stays for its ``for:``, and for up to ``context.patience`` seconds longer until it has bitten, the system
    has done enough work to tell, and the faults scheduled within its window have had their time. ``begun`` is called when
    its turn comes. Returns False, having done nothing, if the service had given up the message at which the fault acts, or
    the message commits offsets that were committed before.

    Records injected (from then on the fault may act), armed, bit and healed, or failed. Raises FaultError if the
    fault could not be injected or healed; a fault that never bit is left to the checkers.
    """
    return await _Application(context, begun).run()


class _Application:
    """A fault in progress."""

    def __init__(self, context: FaultContext, begun: Callable[[], object]) -> None:
        self._context, self._planned, self._fault = context, context.planned, context.planned.fault
        self._record = context.record
        self._found: set[str] = set()
        self._blind = ""
        self._begun = False
        self._has_begun = begun
        self._work: Work | None = None
        self._vain = ""

    async def run(self) -> bool:
        try:
            return await self._run()
        except asyncio.CancelledError:
            if self._begun and self._fault.heals:
                # Leaving the scope has healed it nevertheless.
                self._record("healed", evidence={"early": True})
            raise
        except Exception as error:
            self._record("failed", error=f"{type(error).__name__}: {error}".rstrip(": "))
            what = f"{self._fault.name} on {self._planned.target}"
            raise FaultError(f"{what} could not be injected or healed: {error or type(error).__name__}") from error

    async def _run(self) -> bool:
        # Record the heal before a fault that waits for its turn may begin.
        async with AsyncExitStack() as turns:
            for name in sorted(self._fault.takes(self._planned.target, self._context)):
                await turns.enter_async_context(self._context.stack.turn(name))
            held = self._context.held
            if held is not None and (await passes_nothing(held, self._context) or not held.waiting):
                # No work is at stake, or the service has given the message up and the fault would act at another moment.
                return False
            async with AsyncExitStack() as healing:
                self._begun = True
                if held is None:
                    self._work = await self._since_now() if self._fault.heals else None
                # Only now: on a busy machine the queries to the broker take longer than the time to the next fault.
                self._has_begun()
                evidence = {"message": f"{held.what} on {held.link}"} if held is not None else None
                if self._context.unmet:
                    why = self._context.unmet
                    evidence = {"what": f"by the clock, since no message came: {why}", "by_clock": why}
                self._record(
                    "injected", parameters=self._fault.model_dump(mode="json", by_alias=True), evidence=evidence
                )
                async with asyncio.timeout(INJECTING + self._fault.waits_inside * AT_MOST * self._context.patience):
                    scope = self._fault.inject(self._planned.target, self._context)
                    try:
                        injected = await healing.enter_async_context(_bounded(scope))
                    except GivenUpError:
                        if self._fault.heals:
                            # It has done nothing, so nothing is left to heal.
                            self._record("healed", evidence={"given_up": True})
                        return False
                if held is not None:
                    # Count only from here on: queries to the broker would have delayed the message.
                    held.release()
                    self._work = await self._since_now() if self._fault.heals else None
                if self._fault.heals and (self._planned.lasts is not None or self._context.let_go is not None):
                    await self._window(injected)
                given, operations = await self._counted()
            if self._fault.heals:
                self._record("healed", evidence=await self._aftermath(injected), given=given, begun=operations)
        await (self._look(injected.after) if self._fault.heals else self._until_bit(injected))
        return True

    async def _since_now(self) -> Work | None:
        """Start counting now; None while the broker does not answer."""
        try:
            return await Work.since_now(self._planned.target, self._context)
        except OneffectError:
            return None

    async def _window(self, injected: Injected) -> None:
        """Look for evidence until its time is over, and for up to ``context.patience`` longer while something is missing."""
        async with asyncio.TaskGroup() as looks:
            works = (
                self._watch(injected.armed),
                self._watch(injected.bit),
                self._until_enough(),
                self._context.overlapped(),
            )
            tasks: list[asyncio.Task[object]] = [looks.create_task(work) for work in works]
            ends: list[asyncio.Task[object]] = [looks.create_task(self._until_vain(injected))]
            try:
                await self._lasted()
                ends += [looks.create_task(self._out_of_patience()), looks.create_task(asyncio.wait(tasks))]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await ended([*tasks, *ends])

    async def _lasted(self) -> None:
        """Wait until the fault's ``for:`` is over, or whoever holds it in place lets go."""
        if self._context.let_go is not None:
            await self._context.let_go()
        else:
            await self._context.sleep(self._planned.lasts or 0.0)

    async def _until_enough(self) -> None:
        """Wait until the system has done as much work as a window must see."""
        while (done := await self._most()) is not None and done < ENOUGH:
            await self._context.sleep(5 * EVERY)

    async def _out_of_patience(self) -> None:
        """Wait until ``context.patience`` is used up, counting only the time in which the link's replica runs.

        While another fault has stopped that replica, this fault cannot bite.
        """
        start, arrow, _ = self._planned.target.partition("->")
        replica = self._context.stack.services.get(start) if arrow else None
        patience = Patience(self._context.patience)
        while not patience.over(counts=replica is None or not replica.ended_on_purpose):
            await self._context.sleep(EVERY)

    async def _until_vain(self, injected: Injected) -> None:
        """Wait until the fault says why it will never bite although the system has work: staying longer would not help."""
        while not (await injected.vain() and (await self._most() or 0) >= ENOUGH):
            await self._context.sleep(10 * EVERY)
        self._vain = f"{await injected.vain()} ({await self._most()} records or operations meanwhile)"

    async def _most(self) -> int | None:
        """Count the records given to the services hit, or operations begun; None where neither can be counted."""
        if self._work is None:
            return None
        try:
            return await self._work.most()
        except OneffectError:
            return 0  # the broker does not answer now

    async def _counted(self) -> tuple[int | None, int | None]:
        if self._work is None:
            return None, None
        try:
            return await self._work.counts()
        except OneffectError:
            return None, self._work.begun()

    async def _until_bit(self, injected: Injected) -> None:
        """Look until a fault that does not heal has bitten, at most ``context.deadline`` seconds after it is let go."""
        async with asyncio.TaskGroup() as looks:
            looking = looks.create_task(self._until_seen(injected))
            try:
                if self._context.let_go is not None:
                    await self._context.let_go()
                await asyncio.wait([looking], timeout=self._context.deadline)
            finally:
                await ended([looking])

    async def _until_seen(self, injected: Injected) -> None:
        await self._watch(injected.armed)
        await self._watch(injected.bit)

    async def _watch(self, look: Look) -> None:
        """Look until there is evidence; a bite counts only once the fault is armed."""
        while not await self._look(look):
            await self._context.sleep(EVERY)

    async def _look(self, look: Look) -> bool:
        try:
            evidence = await look()
        except Exception as error:  # noqa: BLE001 - a look that fails found nothing, and the heal's record says why
            self._blind = f"{type(error).__name__}: {error}"
            return False
        if evidence is None or (evidence.level == "bit" and "armed" not in self._found):
            return False
        if evidence.level == "bit" and self._context.held is None and await self._most() == 0:
            # No work, no bite: idle connections end by themselves, and polling moves bytes. A held message is work.
            return False
        self._note_evidence(evidence)
        return True

    async def _aftermath(self, injected: Injected) -> Fields:
        blind = {"look_failed": self._blind} if self._blind else {}
        if self._vain and "bit" not in self._found:
            blind["vain"] = self._vain
        try:
            return {**await injected.aftermath(), **blind}
        except OneffectError as error:
            return {"look_failed": str(error)}

    def _note_evidence(self, evidence: Evidence) -> None:
        if evidence.level not in self._found:
            self._found.add(evidence.level)
            self._record(evidence.level, evidence=evidence.document())
            if evidence.level == "armed":
                self._context.on_armed()


@asynccontextmanager
async def _bounded(scope: Scope[Injected]) -> AsyncIterator[Injected]:
    """Wrap a fault's scope; TimeoutError if leaving it, which heals the fault, takes too long."""
    injected = await scope.__aenter__()
    try:
        yield injected
    except BaseException as error:
        async with asyncio.timeout(HEALING):
            if not await scope.__aexit__(type(error), error, error.__traceback__):
                raise
    else:
        async with asyncio.timeout(HEALING):
            await scope.__aexit__(None, None, None)
