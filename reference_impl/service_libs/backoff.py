"""Retries with exponential back-off and jitter."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

import structlog

from reference_impl.service_libs.errors import is_dependency_error
from reference_impl.service_libs.logging import brief

_log = structlog.get_logger()

T = TypeVar("T")


@dataclass(frozen=True)
class Backoff:
    """Doubling delays from ``first`` up to ``longest`` seconds, each with jitter from half to the whole of it."""

    first: float
    longest: float
    random: Random

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after ``failures`` in a row (1 or more)."""
        whole: float = min(self.longest, self.first * 2 ** min(failures - 1, 30))
        return whole * self.random.uniform(0.5, 1.0)

    async def wait(self, failures: int) -> None:
        """Sleep for ``delay`` seconds; first raise a cancellation that a driver may have swallowed."""
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        await asyncio.sleep(self.delay(failures))

    async def persist(self, step: Callable[[], Awaitable[T]], what: str, *, whatever: bool = False) -> T:
        """Retry a step while a dependency's error makes it fail, or any error with ``whatever``."""
        failures = 0
        while True:
            try:
                return await step()
            except Exception as error:
                ours = not is_dependency_error(error)
                if ours and not whatever:
                    raise
                failures += 1
                _log.warning("retrying", what=what, failures=failures, error=brief(error), exc_info=ours)
                await self.wait(failures)


async def to_its_end(step: Awaitable[T]) -> T:
    """Await a step that must not be left half done: raise a cancellation only after the step has ended."""
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def until_set(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, for at most ``seconds``.

    Not ``asyncio.wait_for``: before Python 3.12 it can lose a cancellation that arrives as the event is set.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
