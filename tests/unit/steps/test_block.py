"""A caller that stops waiting leaves no fault in place, and does not end the run behind its back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest

from harness.errors import UsageError
from harness.run import Result
from harness.session.thread import LoopThread
from harness.steps.aio import AsyncSystem
from harness.steps.block import Block
from harness.steps.system import System
from tests.standin import StandIn


class Steps(StandIn):
    """Faults that only have names; one called ``late`` is in place just as its step is cancelled."""

    def __init__(self) -> None:
        self.in_place: list[str] = []
        self.left: list[tuple[str, bool]] = []
        self.begun = threading.Event()
        self.asked = asyncio.Event()

    async def inject(self, fault: str, on: str, parameters: dict[str, object]) -> str:
        self.begun.set()
        if fault == "late":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.sleep(0.05)
        self.in_place.append(fault)
        return fault

    async def leave(self, fault: str, *, early: bool) -> None:
        if fault in self.in_place:
            self.in_place.remove(fault)
            self.left.append((fault, early))

    def over(self, drain: float) -> None:
        self.asked.set()


class Run:
    """A block whose run goes on until it is ended, or is read at once when its verdict is asked for."""

    def __init__(self, folder: Path, *, quick: bool = False) -> None:
        plan: Any = StandIn()
        progress: Any = StandIn()
        self.loop, self.quick, self.ended = LoopThread(folder), quick, False
        self.block, self.steps = Block(plan, self.loop, progress), Steps()
        self.block._over = self.loop.start(self._go_on)
        steps: Any = self.steps
        self.block.steps = steps

    async def _go_on(self, _stacks: object) -> None:
        try:
            await (self.steps.asked if self.quick else asyncio.Event()).wait()
        finally:
            await asyncio.sleep(0.05)
            self.ended = True


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    made.loop.close()


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path, quick=True)
    yield made
    made.loop.close()


async def cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 30)


async def use(run: Run, fault: str) -> None:
    async with AsyncSystem(run.block).fault(fault, on="redis"):
        await asyncio.Event().wait()


async def test_a_fault_that_is_in_place_before_its_cancelled_caller_knows_is_healed(run: Run) -> None:
    using = asyncio.create_task(use(run, "quick"))
    await asyncio.sleep(0)
    while not run.steps.in_place:
        time.sleep(0.01)  # noqa: ASYNC251 - the caller's loop must not go on
    time.sleep(0.05)  # noqa: ASYNC251 - the same
    await cancelled(using)
    assert (run.steps.in_place, run.steps.left) == ([], [("quick", True)])


async def test_so_is_one_whose_step_is_too_far_to_be_cancelled(run: Run) -> None:
    using = asyncio.create_task(use(run, "late"))
    await asyncio.to_thread(run.steps.begun.wait, 30)
    await cancelled(using)
    assert (run.steps.in_place, run.steps.left) == ([], [("late", True)])


async def test_and_one_whose_caller_is_cancelled_as_it_leaves_the_block(run: Run) -> None:
    async def leave() -> None:
        async with AsyncSystem(run.block).fault("quick", on="redis"):
            task = asyncio.current_task()
            assert task is not None
            run.loop.tell(lambda: time.sleep(0.1))  # so that the step has not begun before it is cancelled
            task.cancel()

    leaving = asyncio.create_task(leave())
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(leaving, 30)
    assert (run.steps.in_place, run.steps.left) == ([], [("quick", True)])


async def test_a_fault_is_left_once_if_nothing_is_cancelled(run: Run) -> None:
    async with AsyncSystem(run.block).fault("quick", on="redis"):
        assert run.steps.in_place == ["quick"]
    assert run.steps.left == [("quick", False)]


class BrokenOff(BaseException):
    """As pytest-timeout's."""


def test_what_breaks_off_the_wait_of_code_that_blocks_leaves_no_fault_either(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(future: Future[Any], _block: Block) -> Any:
        run.steps.begun.wait(30)
        future.cancel()
        raise BrokenOff

    monkeypatch.setattr("harness.steps.system.waited", broken_off)
    with pytest.raises(BrokenOff), System(run.block).fault("late", on="redis"):
        pass
    assert (run.steps.in_place, run.steps.left) == ([], [("late", True)])


async def test_a_verdict_that_nobody_waits_for_ends_no_run(run: Run) -> None:
    system = AsyncSystem(run.block)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await system.verdict()
    assert not run.ended
    await asyncio.to_thread(run.block.end, TimeoutError())
    assert run.ended


class Judging:
    """Judges a run only once it may."""

    def __init__(self) -> None:
        self.begun, self.may = threading.Event(), threading.Event()

    def __call__(self, directory: Path) -> Result:
        self.begun.set()
        assert self.may.wait(30)
        document: Any = {}
        return Result(directory, document)


@pytest.fixture
def judging(quick: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judging:
    made, steps = Judging(), cast("Any", quick.steps)
    steps.directory = tmp_path
    monkeypatch.setattr("harness.run.judge_directory", made)
    return made


async def test_a_run_that_was_read_and_never_judged_ends_no_block(quick: Run) -> None:
    await asyncio.wait_for(asyncio.wrap_future(quick.block.read("1m")), 30)
    assert quick.ended
    with pytest.raises(UsageError, match="without a verdict"):
        quick.block.end(None)


async def test_it_is_judged_whenever_that_is_asked_for(quick: Run, judging: Judging) -> None:
    await asyncio.wait_for(asyncio.wrap_future(quick.block.read("1m")), 30)
    judging.may.set()
    assert await AsyncSystem(quick.block).verdict() is quick.block.judged
    quick.block.end(None)


async def test_a_verdict_that_nobody_waited_for_ends_no_block(quick: Run, judging: Judging) -> None:
    asking = asyncio.create_task(AsyncSystem(quick.block).verdict())
    assert await asyncio.to_thread(judging.begun.wait, 30)
    asking.cancel()
    await asyncio.sleep(0)
    judging.may.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asking, 30)
    with pytest.raises(UsageError, match="without a verdict"):
        quick.block.end(None)
    assert await AsyncSystem(quick.block).verdict() is quick.block.judged
