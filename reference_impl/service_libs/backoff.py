"""Trying again, ever more slowly, and not all at the same moment."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

import structlog

from reference_impl.service_libs.errors import is_dependency_error

_log = structlog.get_logger()

T = TypeVar("T")


@dataclass(frozen=True)
class Backoff:
    """Doubling delays from ``first`` up to ``longest`` seconds, each with jitter from half to the whole of it."""

    first: float
    longest: float
    random: Random

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row (1 or more)."""
        whole: float = min(self.longest, self.first * 2 ** min(failures - 1, 30))
        return whole * self.random.uniform(0.5, 1.0)

    async def wait(self, failures: int) -> None:
        """Sleep for ``delay``; at once raise what a driver may have swallowed, that this task was cancelled."""
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        await asyncio.sleep(self.delay(failures))

    async def persist(self, step: Callable[[], Awaitable[T]], what: str, *, whatever: bool = False) -> T:
        """Try a step again for as long as it fails by a dependency's fault, or ``whatever`` its error is."""
        failures = 0
        while True:
            try:
                return await step()
            except Exception as error:
                ours = not is_dependency_error(error)
                if ours and not whatever:
                    raise
                failures += 1
                _log.warning("tried again", what=what, failures=failures, error=repr(error), exc_info=ours)
                await self.wait(failures)


async def to_its_end(step: Awaitable[T]) -> T:
    """Wait for a step that must not be left half done: a cancellation is raised after it has ended."""
    doing = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        raise


async def until_set(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, at most so long.

    ``asyncio.wait_for`` would not do: before Python 3.12 it can lose a cancellation that comes as the event is set.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
