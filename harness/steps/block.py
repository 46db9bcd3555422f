"""One run in steps on its own event loop, for a caller in another thread; the blocking and async APIs share it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from harness.errors import UsageError, first_on_purpose
from harness.scenario import LoadShape
from harness.steps.judged import Judged
from harness.steps.steps import OVER, Steps, play
from harness.units import parse_duration

if TYPE_CHECKING:
    from harness.session.stacks import Progress
    from harness.session.thread import LoopThread
    from harness.steps.held import HeldFault
    from harness.steps.places import Places
    from harness.steps.plan import StepsPlan

T = TypeVar("T")


class Block:
    """One run of a plan. Call ``begin`` first and ``end`` last, whatever happens between; callers wait on futures."""

    def __init__(self, plan: StepsPlan, loop: LoopThread, progress: Progress) -> None:
        self.plan, self._loop, self._progress = plan, loop, progress
        self.steps: Steps | None = None
        """The steps, once it has begun."""
        self.judged: Judged | None = None
        """The verdict, once somebody has it."""
        self._over: Future[None] = Future()
        # Before ``begin``, any work on the loop belongs to another run.
        self._over.set_result(None)
        self._keeps = False

    def begin(self) -> Future[Steps]:
        """Bring the system up."""
        ready: Future[Steps] = Future()

        def handed_out(steps: Steps) -> None:
            self.steps = steps
            if not ready.done():
                ready.set_result(steps)

        def ended(over: Future[None]) -> None:
            if not ready.done():
                ready.set_exception(over.exception() or UsageError(OVER))

        self._over = self._loop.start(
            lambda stacks: play(self.plan, stacks, self._progress, handed_out, keeps=lambda: self._keeps)
        )
        self._over.add_done_callback(ended)
        return ready

    @property
    def places(self) -> Places:
        """Where everything listens; UsageError before it has begun."""
        if self.steps is None:
            raise UsageError("the system is not up yet; open it first: with oneffect.system(…) as shop")
        return self.steps.places

    def step(self, make: Callable[[Steps], Coroutine[Any, Any, T]]) -> Future[T]:
        """Begin a step; UsageError once the run is over, or the error that ended it."""
        return self._loop.beside(make(self._running()))

    def upload(self, count: int, **shape: object) -> Future[int]:
        """Begin to upload; UsageError for a shape that a scenario's load cannot have."""
        load = _shape("upload", count, shape)
        return self.step(lambda steps: steps.upload(load))

    def publish(self, count: int, **shape: object) -> Future[int]:
        """Begin to publish events; UsageError for a shape that a scenario's load cannot have."""
        load = _shape("publish", count, shape)
        return self.step(lambda steps: steps.publish(load))

    def inject(self, fault: str, on: str, parameters: dict[str, object]) -> Future[HeldFault]:
        """Begin to inject a fault; ``withdraw`` it if nobody waits for it any more."""
        return self.step(lambda steps: steps.inject(fault, on, parameters))

    def withdraw(self, injecting: Future[HeldFault]) -> Future[None]:
        """Take back a fault, whether it is in place by now or not."""
        gone: Future[None] = Future()

        def ended(_: Future[HeldFault]) -> None:
            if injecting.cancelled() or injecting.exception() is not None:
                gone.set_result(None)
            else:
                self.leave(injecting.result(), early=True).add_done_callback(lambda _: gone.set_result(None))

        injecting.cancel()
        injecting.add_done_callback(ended)
        return gone

    def leave(self, fault: HeldFault, *, early: bool) -> Future[None]:
        """Release a fault; if the run is over, the fault is healed already."""
        if self.steps is None or self._over.done():
            done: Future[None] = Future()
            done.set_result(None)
            return done
        return self._loop.beside(self.steps.leave(fault, early=early))

    def drain(self, within: str) -> Future[bool]:
        """Begin to wait until the system is at rest."""
        return self.step(partial(_drain, seconds=_seconds(within)))

    def read(self, within: str) -> Future[None]:
        """Drain, read everything and end the run, unless that was done; call ``judge`` afterwards."""
        seconds = _seconds(within)
        if self.steps is None or not self._over.done() or self._over.exception() is not None:
            self._loop.tell(partial(self._running().over, seconds))
        # Of its own: a caller who waits no longer cancels it, and the run goes on until ``end``.
        read: Future[None] = Future()

        def ended(over: Future[None]) -> None:
            if not read.set_running_or_notify_cancel():
                return
            if (error := over.exception()) is not None:
                read.set_exception(error)
            else:
                read.set_result(None)

        self._over.add_done_callback(ended)
        return read

    def judge(self) -> Judged:
        """Judge the run that was read. Blocks."""
        from harness.run import judge_directory

        if self.judged is None:
            assert self.steps is not None, "it was read"  # noqa: S101
            result = judge_directory(self.steps.directory)
            self.judged = Judged(result.directory, result.document)
        return self.judged

    def end(self, error: BaseException | None) -> None:
        """End the run and everything under way; UsageError if there was neither an error nor a verdict. Blocks."""
        # A failed assertion says nothing about the stack; after anything else it may be broken.
        self._keeps = error is None or isinstance(error, AssertionError)
        if not self._over.done():
            self._loop.end()
        if error is None and self.judged is None:
            self.raise_cause()
            raise UsageError(
                "the block ended without a verdict, so nothing was judged; ask for it last: "
                "verdict = shop.verdict(); assert verdict.valid, verdict.story()"
            )

    def raise_cause(self) -> None:
        """Raise the error that ended the run early, unless its caller ended it."""
        cause = self._over.exception() if self._over.done() else None
        if cause is not None and not isinstance(cause, asyncio.CancelledError):
            with first_on_purpose():
                raise cause

    def _running(self) -> Steps:
        if self.steps is None or self._over.done():
            self.raise_cause()
            raise UsageError(OVER)
        return self.steps


async def _drain(steps: Steps, seconds: float) -> bool:
    return await steps.drain(seconds)


def _shape(step: str, count: int, shape: dict[str, object]) -> LoadShape:
    try:
        return LoadShape.model_validate({"uploads": count, **shape})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])).replace("uploads", "count")
        raise UsageError(f"{step}: {name}: {first.get('ctx', {}).get('error') or first['msg']}") from error


def _seconds(within: str) -> float:
    try:
        return parse_duration(within)
    except ValueError as error:
        raise UsageError(f"within: {error}") from error
