"""A system in steps, for code in an event loop of asyncio's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from harness.errors import UsageError, first_on_purpose
from harness.steps.judged import EFFECT, RETAINED, Judged
from harness.steps.steps import OVER
from harness.steps.system import Reachable

if TYPE_CHECKING:
    from harness.steps.block import Block

T = TypeVar("T")


class AsyncSystem(Reachable):
    """The same as ``System``, made by ``async with oneffect.system(…) as shop``: each step is awaited.

    The run has a thread and an event loop of its own, so nothing that the caller's loop does holds it up.
    """

    async def upload(  # noqa: PLR0913 - a scenario's load
        self,
        count: int = 20,
        *,
        rate: str = "20/s",
        rejected: str = "15%",
        large: str = "5%",
        retries: int = 0,
        retry_after: str = "500ms",
    ) -> int:
        """As ``System.upload``."""
        return await self._awaited(
            self._block.upload(
                count, rate=rate, rejected=rejected, large=large, retries=retries, retry_after=retry_after
            )
        )

    async def publish(self, count: int = 20, *, rate: str = "20/s") -> int:
        """As ``System.publish``."""
        return await self._awaited(self._block.publish(count, rate=rate))

    @asynccontextmanager
    async def fault(self, fault: str, /, *, on: str, **parameters: object) -> AsyncIterator[None]:
        """As ``System.fault``, for ``async with``."""
        injecting = self._block.inject(fault, on, parameters)
        try:
            held = await self._awaited(injecting)
            yield
            await self._awaited(self._block.leave(held, early=False))
        except BaseException:
            await surely(lambda: self._block.withdraw(injecting).result())
            raise

    async def drain(self, within: str = "30s") -> bool:
        """As ``System.drain``."""
        return await self._awaited(self._block.drain(within))

    async def verdict(self, within: str = "30s") -> Judged:
        """As ``System.verdict``."""
        await self._awaited(self._block.read(within))
        had = self._block.judged
        try:
            return await surely(self._block.judge)
        except asyncio.CancelledError:
            self._block.judged = had  # nobody has this one
            raise

    async def assert_exactly_one_effect(self, within: str = "30s") -> None:
        """As ``System.assert_exactly_one_effect``."""
        (await self.verdict(within)).require(*EFFECT)

    async def assert_raw_retained(self, within: str = "30s") -> None:
        """As ``System.assert_raw_retained``."""
        (await self.verdict(within)).require(*RETAINED)

    async def _awaited(self, future: Future[T]) -> T:
        return await awaited(future, self._block)


async def awaited(future: Future[T], block: Block) -> T:
    """Wait for a step; cancel it if the caller's task is cancelled. Raises what ended the run, if that ended the step."""
    waiting = asyncio.wrap_future(future)
    try:
        await asyncio.wait([waiting])
    except BaseException:
        future.cancel()
        raise
    if waiting.cancelled():
        block.raise_cause()
        raise UsageError(OVER)
    with first_on_purpose():
        return waiting.result()


async def surely(work: Callable[[], T]) -> T:
    """Do blocking work in a thread to its end, even if the caller's task is cancelled meanwhile."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    cancelled: asyncio.CancelledError | None = None
    while not working.done():
        try:
            await asyncio.wait([working])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        working.exception()
        raise cancelled
    return working.result()
