"""What becomes of the stack once a run in steps is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.steps.steps import play
from tests.standin import StandIn


class Steps(StandIn):
    """A run that reads at once, or waits for its end."""

    waits = False

    def __init__(self, *_: object) -> None: ...

    async def play(self, ready: Any) -> None:
        ready(self)
        if self.waits:
            await asyncio.Event().wait()


class Stacks(StandIn):
    """Notes what is asked of it."""

    out = Path("runs")

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def of(self, _plan: object, _progress: object) -> None: ...

    async def drop(self, _plan: object) -> None:
        self.asked.append("drop")

    async def check(self, _plan: object) -> None:
        self.asked.append("check")


class Plan(StandIn):
    adopted = None


@asynccontextmanager
async def opened(*_: object) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize(
    ("ends_early", "keeps", "asked"),
    [(False, False, ["check"]), (True, True, ["check"]), (True, False, ["drop", "check"])],
    ids=["judged", "assertion", "error"],
)
async def test_a_stack_is_kept_only_if_it_is_whole(
    monkeypatch: pytest.MonkeyPatch, *, ends_early: bool, keeps: bool, asked: list[str]
) -> None:
    monkeypatch.setattr("harness.steps.steps.opened", opened)
    monkeypatch.setattr("harness.steps.steps.Steps", Steps)
    monkeypatch.setattr(Steps, "waits", ends_early)
    stacks, begun = Stacks(), asyncio.Event()
    playing = asyncio.create_task(play(Plan(), stacks, StandIn(), lambda _steps: begun.set(), keeps=lambda: keeps))
    await begun.wait()
    if ends_early:
        playing.cancel()
    await asyncio.wait([playing])
    assert playing.cancelled() is ends_early
    assert stacks.asked == asked
