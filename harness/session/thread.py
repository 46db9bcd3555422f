"""Runs one after another on warm stacks, in an event loop that has a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar

from harness.errors import StackError, first_on_purpose
from harness.session.stacks import Stacks

T = TypeVar("T")

PATIENCE: Final = 120.0
"""Seconds that a run which was cancelled may take to heal its faults and to stop its services and its stack."""


class LoopThread:
    """A loop and its warm stacks, one for each system file; run directories go to ``out``.

    Python handles signals in the main thread. What a handler raises there (the time-out of pytest-timeout, Ctrl-C) so
    ends the wait for a run, and never lands somewhere within it, where it may be lost or leave the rest going.
    """

    def __init__(self, out: Path) -> None:
        self._stacks = Stacks(out)
        # Never the thread's current loop: that belongs to whichever asyncio plugin there is.
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._over: Future[Any] = Future()
        self._over.set_result(None)
        # A daemon, so that a loop that hangs does not keep the process: the reapers end what it leaves.
        self._thread = threading.Thread(target=self._serve, name="oneffect", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[Stacks], Coroutine[Any, Any, T]]) -> T:
        """``work``, to its end, on the stacks.

        Whatever ends the wait for it, the work is cancelled and has cleaned up before this returns, unless that takes
        longer than PATIENCE: then StackError is all that later ones get, for two at once would disturb each other.
        """
        if not self._over.done():
            raise StackError("a run before this one was stopped and has not come to its end; nothing runs beside it")
        with first_on_purpose():
            result: T = self._wait_for(work(self._stacks))
        return result

    def close(self) -> None:
        """End what is under way, every stack and the loop; what does not end is left to the reapers."""
        if self._loop.is_closed() or not self._ended():
            return
        try:
            self._wait_for(self._stacks.stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE)

    def _wait_for(self, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - what the work gives
        self._over = over = Future[Any]()
        try:
            self._loop.call_soon_threadsafe(self._begin, work, over)
            return over.result()
        except BaseException as error:
            if not self._ended():
                error.add_note(f"the run was stopped and has not come to its end within {PATIENCE:g} s")
            raise

    def _begin(self, work: Coroutine[Any, Any, Any], over: Future[Any]) -> None:
        async def told() -> None:
            try:
                result = await work
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                over.set_exception(error)
            else:
                over.set_result(result)

        self._task = self._loop.create_task(told())

    def _ended(self) -> bool:
        """Whether what is under way, if anything, came to its end within PATIENCE after it was cancelled."""
        if not self._over.done():
            self._loop.call_soon_threadsafe(self._cancel, self._over)
        try:
            self._over.exception(PATIENCE)
        except TimeoutError:
            return False
        return True

    def _cancel(self, over: Future[Any]) -> None:
        if self._task is not None and not self._task.done():
            # Once: cancelled again, it would leave off cleaning up.
            if not self._task.cancelling():
                self._task.cancel()
        elif not over.done():
            # The wait was broken off before anything began.
            over.set_result(None)

    def _serve(self) -> None:
        while True:
            try:
                self._loop.run_forever()
            except (KeyboardInterrupt, SystemExit):
                # asyncio lets these two through the loop; the task in which it was raised has it too.
                continue
            break
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
