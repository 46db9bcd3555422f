"""A fault that is in place for as long as a block lasts."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from harness.faults.acting import at_each, waiting
from harness.faults.apply import apply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.faults.base import FaultContext
    from harness.faults.condition import Condition
    from harness.history.recorder import Recorder, Scope
    from harness.redaction import Redaction
    from harness.stack import Held
    from harness.taps.trigger import Trigger

ARMED_WITHIN: Final = 60.0
"""Seconds after which the block begins even if the fault was not seen to be armed; it will not count as bitten."""

PATIENCE: Final = 60.0
"""Seconds that a released fault stays in place if it has not bitten: machines are busy at times."""

BITES_WITHIN: Final = 30.0
"""Seconds within which a fault that does not heal must have bitten once its block is left."""


class FaultRecorder:
    """Records what faults do until the history is complete: a fault that heals later was in place in the final read."""

    def __init__(self, inner: Recorder) -> None:
        self._inner = inner
        self.complete = False

    def now(self) -> int:
        """Nanoseconds since the history's start."""
        return self._inner.now()

    def record(self, op: str, phase: str, actor: str, **fields: object) -> int:
        """Record, unless the history is complete."""
        return 0 if self.complete else self._inner.record(op, phase, actor, **fields)

    def operation(self, op: str, actor: str, **fields: object) -> Scope:
        """Open an operation of the inner recorder."""
        return self._inner.operation(op, actor, **fields)


class HeldFault:
    """A fault on each target of its pattern: ``enter`` injects it, ``leave`` releases it, ``heal`` ends it at once.

    Each context is that of one target; its timing and callbacks are replaced here. A fault with a ``when`` acts at its
    message; once it is released, it waits ``still`` seconds more for it.
    """

    def __init__(self, contexts: Sequence[FaultContext], redaction: Redaction, *, still: float) -> None:
        self._let_go = asyncio.Event()
        self._each = [_Each(context, redaction, self._let_go, still) for context in contexts]
        self._works: list[asyncio.Task[None]] = []

    @property
    def takes(self) -> set[str]:
        """The replicas, dependencies and links that it needs for itself."""
        return {name for each in self._each for name in each.takes}

    async def enter(self) -> None:
        """Inject it; return once it is armed, or waits for the system to have work. FaultError if it cannot be injected."""
        self._works = [asyncio.create_task(each.apply()) for each in self._each]
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(ARMED_WITHIN):
                    for each in self._each:
                        await each.begun.wait()
            if any(work.done() for work in self._works):
                await self.leave()
        except BaseException:
            await self.heal()
            raise

    async def leave(self) -> None:
        """Release it: it heals once it has bitten or its patience is over. FaultError if injecting or healing fails."""
        self._let_go.set()
        try:
            await asyncio.gather(*self._works)
        finally:
            # One of several targets may have failed, or the caller may have stopped waiting.
            await self.heal()

    async def heal(self) -> None:
        """End it at once, and wait until it is healed."""
        for work in self._works:
            if not work.cancelling():
                work.cancel()
        await asyncio.gather(*self._works, return_exceptions=True)


class _Each:
    """The fault on one target."""

    def __init__(self, context: FaultContext, redaction: Redaction, let_go: asyncio.Event, still: float) -> None:
        self._redaction, self._let_go, self._still = redaction, let_go, still
        self._injected = False
        self._left_at = 0.0
        """When the block was left, on the loop's clock; 0 until then."""
        self.begun = asyncio.Event()
        """Set once the block may begin."""
        self._context = replace(
            context,
            sleep=self._sleep,
            patience=PATIENCE,
            deadline=BITES_WITHIN,
            on_armed=self.begun.set,
            let_go=self._until_let_go,
        )
        self.takes = set(context.planned.fault.takes(context.planned.target, context))

    async def apply(self) -> None:
        try:
            with self._redaction.messages():
                if self._context.planned.when is None:
                    await apply(self._context)
                else:
                    await self._at_messages(self._context.planned.when)
        finally:
            self.begun.set()

    async def _at_messages(self, when: Condition) -> None:
        """Act at the message, or at each one until the block is left; record it as failed if none came."""
        trigger, recorded = when.trigger(), False

        def begun() -> None:
            nonlocal recorded
            recorded = True

        async def met(acted: int) -> Held | None:
            if acted and self._let_go.is_set():
                return None
            return await self._met(trigger, 0.0 if acted else self._still)

        async def act(held: Held) -> bool:
            nonlocal recorded
            had = recorded
            acted = await apply(self._at(held), begun)
            recorded = acted or had
            return acted

        try:
            with self._context.armed(trigger):
                self.begun.set()
                await at_each(trigger, met, act, once=when.every is None)
        finally:
            if not recorded:
                self._context.record("failed", error=when.unmet(trigger.counted))

    def _at(self, held: Held) -> FaultContext:
        """Return the context of the fault at a message; one that does not heal does not wait for the block's end."""
        let_go = self._context.let_go if self._context.planned.fault.heals else None
        return replace(self._context, planned=self._context.planned.met_on(held.link), held=held, let_go=let_go)

    async def _met(self, trigger: Trigger, still: float) -> Held | None:
        """Wait for the next message; None if none has come ``still`` seconds after the block was left."""
        with waiting(trigger) as met:
            left = asyncio.create_task(self._let_go.wait())
            try:
                await asyncio.wait([met, left], return_when=asyncio.FIRST_COMPLETED)
            finally:
                left.cancel()
            if not met.done():
                now = asyncio.get_running_loop().time()
                # Once: messages at which it does not act make it wait no longer.
                self._left_at = self._left_at or now
                await asyncio.wait([met], timeout=max(0.0, self._left_at + still - now))
            return met.result() if met.done() else None

    async def _sleep(self, seconds: float) -> None:
        """Sleep; a sleep before the injection waits for work that only the block can give, so let the block begin."""
        if not self._injected:
            self.begun.set()
        await asyncio.sleep(seconds)

    async def _until_let_go(self) -> None:
        self._injected = True
        await self._let_go.wait()
