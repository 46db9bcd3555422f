"""Tasks that go on until they are cancelled, and miss a cancellation as libraries' own do."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cancelling import ended
from harness.session.rest import observed
from tests.standin import StandIn


async def deaf(times: int = 1) -> None:
    """Go on for ever, and swallow some cancellations."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cancelling._AGAIN", 0.01)


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_a_task_that_misses_a_cancellation_ends_all_the_same(times: int) -> None:
    tasks = [asyncio.create_task(deaf(times)), asyncio.create_task(deaf(0))]
    await asyncio.sleep(0)
    await asyncio.wait_for(ended(tasks), 60)
    assert all(task.cancelled() for task in tasks)


async def test_one_that_fails_as_it_ends_is_over_too() -> None:
    async def fails() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await asyncio.wait_for(ended([task]), 60)
    assert isinstance(task.exception(), ValueError)


async def test_observers_end_with_the_run_though_a_library_swallows_their_cancellation() -> None:
    class Watch(StandIn):
        keep_looking = keep_looking_after_deaths = keep_reading_blobs = staticmethod(deaf)

    async def run() -> None:
        live: Any = SimpleNamespace(redis={})
        watch: Any = Watch()
        recorder: Any = StandIn()
        async with observed(live, watch, recorder):
            await asyncio.sleep(0)

    await asyncio.wait_for(run(), 60)
