"""The loop behind pytest's items: whatever breaks off the wait for a run ends the run before the next one begins."""

import asyncio
import os
import signal
import threading
from pathlib import Path
from typing import ClassVar

import pytest

import harness.run
from harness.errors import StackError
from harness.plan import Plan, make_plan
from harness.run import Result, execute
from harness.session import thread
from harness.session.thread import LoopThread
from harness.stack import Link, ServiceHandle

DEADLINE = 60.0


class Silent:
    def step(self, text: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class BrokenOff(BaseException):
    """As pytest-timeout's: no Exception, so that a test's own handlers do not catch it."""


class Stack:
    """Notes what happens to it, on its own loop."""

    name = "native"
    dependencies: ClassVar[dict[str, ServiceHandle]] = {}
    links: ClassVar[dict[str, Link]] = {}

    def __init__(self, happened: list[str]) -> None:
        self._happened = happened

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._happened.append("started")

    async def stop(self) -> None:
        assert self._loop is asyncio.get_running_loop()
        self._happened.append("stopped")

    def lacks(self, need: type, on: str | None = None) -> None:
        return None


@pytest.fixture
def plan(project: Path) -> Plan:
    path = project / "scenarios" / "control.yaml"
    return make_plan(path, system_path=None, variant=None, seed=1, stack="auto")


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr("harness.session.stacks.open_stack", lambda plan, folder: Stack(found))
    return found


@pytest.fixture
def loop(project: Path, happened: list[str]):
    made = LoopThread(project / "runs")
    yield made
    made.close()


def broken_off(*args: object) -> None:
    raise BrokenOff


@pytest.fixture
def handler():
    before = signal.signal(signal.SIGUSR1, broken_off)
    yield
    signal.signal(signal.SIGUSR1, before)


def under_way(happened: list[str], *, for_good: threading.Event | None = None):
    """A run that a signal breaks off once it is under way; its cleaning up takes turns of the loop."""

    async def run(*args: object, **words: object) -> None:
        happened.append("begun")
        threading.Timer(0, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(20):
                await asyncio.sleep(0)
            while for_good is not None and not for_good.is_set():
                await asyncio.sleep(0.01)
            happened.append("ended")

    return run


DONE = Path("done")


async def quick(*args: object, **words: object) -> Result:
    return Result(DONE, {})


def run_on(loop: LoopThread, plan: Plan) -> Path:
    return loop.run(lambda stacks: execute(plan, stacks, progress=Silent())).directory


def test_a_run_that_a_signal_breaks_off_has_ended_before_the_next(
    loop: LoopThread, plan: Plan, happened: list[str], handler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.run, "run", under_way(happened))
    with pytest.raises(BrokenOff):
        run_on(loop, plan)
    assert happened == ["started", "begun", "ended", "stopped"]
    monkeypatch.setattr(harness.run, "run", quick)
    assert run_on(loop, plan) == DONE
    assert happened[4:] == ["started"]
    loop.close()
    assert happened[4:] == ["started", "stopped"]


@pytest.mark.parametrize("to", ["the process", "the thread of the run"])
def test_what_a_handler_raises_lands_in_no_task_of_the_run(  # noqa: PLR0917 - fixtures
    loop: LoopThread, plan: Plan, happened: list[str], handler: None, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    """A task beside the run that computes when the signal comes would keep the time-out to itself.

    A signal that another thread gets does not wake the main one, as one that comes just before it waits.
    """

    async def busy() -> None:
        if to == "the process":
            os.kill(os.getpid(), signal.SIGUSR1)
        else:
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        while True:
            await asyncio.sleep(0)

    async def run(*args: object, **words: object) -> None:
        beside = asyncio.create_task(busy())
        try:
            await asyncio.wait([beside])
        finally:
            happened.append("cancelled" if not beside.done() else "lost")
            beside.cancel()

    monkeypatch.setattr(harness.run, "run", run)
    with pytest.raises(BrokenOff):
        run_on(loop, plan)
    assert happened == ["started", "cancelled", "stopped"]


def test_a_run_that_does_not_end_is_waited_for_so_long_and_nothing_runs_beside_it(
    loop: LoopThread, plan: Plan, happened: list[str], handler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(thread, "PATIENCE", 0.2)
    monkeypatch.setattr(harness.run, "run", under_way(happened, for_good=over))
    with pytest.raises(BrokenOff) as broken:
        run_on(loop, plan)
    assert "did not end within 0.2 s" in broken.value.__notes__[0]
    with pytest.raises(StackError, match="nothing runs beside it"):
        run_on(loop, plan)
    assert "stopped" not in happened
    over.set()
    monkeypatch.setattr(thread, "PATIENCE", DEADLINE)
    loop.close()
    assert happened == ["started", "begun", "ended", "stopped"]


def test_an_error_is_raised_where_the_run_was_asked_for(
    loop: LoopThread, plan: Plan, happened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(*args: object, **words: object) -> None:
        raise ExceptionGroup("a", [ValueError("x"), StackError("kafka died")])

    monkeypatch.setattr(harness.run, "run", run)
    with pytest.raises(StackError, match="kafka died"):
        run_on(loop, plan)
    assert happened == ["started", "stopped"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_what_asyncio_lets_through_its_loop_does_not_end_the_loop(
    loop: LoopThread, plan: Plan, happened: list[str], monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    async def raises() -> None:
        raise error

    async def run(*args: object, **words: object) -> None:
        await asyncio.create_task(raises())

    monkeypatch.setattr(harness.run, "run", run)
    with pytest.raises(error):
        run_on(loop, plan)
    monkeypatch.setattr(harness.run, "run", quick)
    assert run_on(loop, plan) == DONE
