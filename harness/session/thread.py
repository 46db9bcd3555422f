"""Performs runs one after another on warm stacks, in an event loop on its own thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, Final, TypeVar

from harness.errors import StackError, first_on_purpose
from harness.session.stacks import Stacks

T = TypeVar("T")

PATIENCE: Final = 120.0
"""Seconds that a cancelled run may take to heal its faults and to stop its services and its stack."""

TURN: Final = 0.2
"""Longest single wait for a run, in seconds.

A signal that comes as the wait begins, or that the kernel gives to another thread, does not interrupt the wait: its
handler runs only when the wait is over.
"""


def outcome(future: Future[T]) -> T:
    """Wait for another thread's future, TURN seconds at a time, and return its result or raise its exception."""
    while not wait([future], timeout=TURN).done:
        pass
    return future.result()


class _Beside(Future[T]):
    """A coroutine in the loop of another thread; done once that has ended, however it was cancelled."""

    def __init__(self, work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._task: asyncio.Task[T]
        loop.call_soon_threadsafe(self._begin, work)

    def cancel(self) -> bool:
        """Cancel the coroutine; return whether it had not ended yet."""
        if self.done():
            return False
        self._loop.call_soon_threadsafe(self._ask)
        return True

    def _begin(self, work: Coroutine[Any, Any, T]) -> None:
        self._task = self._loop.create_task(work)
        self._task.add_done_callback(self._ended)

    def _ask(self) -> None:
        # Once: a second cancel would interrupt the clean-up.
        if not self._task.cancelling():
            self._task.cancel()

    def _ended(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            super().cancel()
            self.set_running_or_notify_cancel()
        elif (error := task.exception()) is not None:
            self.set_exception(error)
        else:
            self.set_result(task.result())


class LoopThread:
    """An event loop and its warm stacks; run directories go to ``out``.

    Python handles signals in the main thread. So what a handler raises (the time-out of pytest-timeout, Ctrl-C) ends the
    wait for a run, and never lands somewhere inside it, where it might get lost or leave the rest running.
    """

    def __init__(self, out: Path) -> None:
        self._stacks = Stacks(out)
        # Never the thread's current loop, which belongs to whichever asyncio plugin is installed.
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._over: Future[Any] = Future()
        self._over.set_result(None)
        # A daemon, so that a hung loop does not keep the process alive: the reapers end what it leaves.
        self._thread = threading.Thread(target=self._serve, name="oneffect", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[Stacks], Coroutine[Any, Any, T]]) -> T:
        """Run ``work`` on the stacks to its end.

        If anything ends the wait early, the work is cancelled and has cleaned up before this returns. If cleaning up
        takes longer than PATIENCE, later calls raise StackError, as two runs at once would disturb each other.
        """
        self._require_idle()
        with first_on_purpose():
            result: T = self._wait_for(work(self._stacks))
        return result

    def start(self, work: Callable[[Stacks], Coroutine[Any, Any, T]]) -> Future[T]:
        """Start ``work`` on the stacks and return a future of its result; ``end`` ends it early."""
        self._require_idle()
        self._over = over = Future[Any]()
        self._loop.call_soon_threadsafe(self._begin, work(self._stacks), over)
        return over

    def beside(self, step: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a step concurrently with the started work.

        Cancelling the future only asks the step to end: what it returns or raises all the same, the future has.
        """
        return _Beside(step, self._loop)

    def tell(self, what: Callable[[], object]) -> None:
        """Call ``what`` in the loop."""
        self._loop.call_soon_threadsafe(what)

    def end(self) -> bool:
        """Cancel the current work, if any; return whether it has ended, and cleaned up, within PATIENCE."""
        return self._ended()

    def _require_idle(self) -> None:
        if not self._over.done():
            raise StackError(
                "another run is under way here, or was cancelled and has not ended yet; nothing runs beside it"
            )

    def close(self) -> None:
        """End the current work, every stack and the loop; leave what does not end to the reapers."""
        if self._loop.is_closed() or not self._ended():
            return
        try:
            self._wait_for(self._stacks.stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE)

    def _wait_for(self, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - the work's result
        self._over = over = Future[Any]()
        try:
            self._loop.call_soon_threadsafe(self._begin, work, over)
            return outcome(over)
        except BaseException as error:
            if not self._ended():
                error.add_note(f"the run was cancelled and did not end within {PATIENCE:g} s")
            raise

    def _begin(self, work: Coroutine[Any, Any, Any], over: Future[Any]) -> None:
        async def report() -> None:
            try:
                result = await work
            except BaseException as error:  # noqa: BLE001 - raised by the waiting thread
                over.set_exception(error)
            else:
                over.set_result(result)

        self._task = self._loop.create_task(report())

    def _ended(self) -> bool:
        """Cancel the current work, if any; return whether it ended within PATIENCE."""
        if not self._over.done():
            self._loop.call_soon_threadsafe(self._cancel, self._over)
        try:
            self._over.exception(PATIENCE)
        except TimeoutError:
            return False
        return True

    def _cancel(self, over: Future[Any]) -> None:
        if self._task is not None and not self._task.done():
            # Once: a second cancel would interrupt the clean-up.
            if not self._task.cancelling():
                self._task.cancel()
        elif not over.done():
            # The wait ended before the work began.
            over.set_result(None)

    def _serve(self) -> None:
        while True:
            try:
                self._loop.run_forever()
            except (KeyboardInterrupt, SystemExit):
                # asyncio lets these two escape from the loop; the task that raised one has it too.
                continue
            break
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
