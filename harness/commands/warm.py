"""Stacks that stay up from run to run: one for each system file, started when it is first needed."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import TYPE_CHECKING, Self

from harness import run
from harness.log import NAME, logged
from harness.plan import refuse_what_lacks
from harness.redaction import Redaction
from harness.stack import Stack

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from harness.plan import Plan
    from harness.run import Progress


@dataclass(frozen=True, slots=True)
class _Warm:
    """A stack, maybe not running yet, the folder of its logs, and what is hidden in them."""

    stack: Stack
    folder: Path
    redaction: Redaction

    def logged(self) -> AbstractContextManager[None]:
        return logged(self.folder / NAME, self.redaction.text)

    async def stop(self) -> None:
        try:
            with self.logged():
                await self.stack.stop()
        finally:
            # Brokers, stores and proxies write for themselves: what they wrote of secrets goes once they are down.
            # Where nothing runs here, none is written.
            if self.folder.exists():
                await asyncio.to_thread(self.redaction.folder, self.folder)


class WarmStacks:
    """``async with`` ends every stack that was started. Their logs go to a folder under ``out``."""

    def __init__(self, out: Path) -> None:
        self._logs = out / "stacks"
        self._stacks: dict[Path, _Warm] = {}
        self._started: set[Path] = set()

    def admit(self, plan: Plan) -> Stack:
        """The stack of a plan, maybe not running yet; PlanRefused says what it cannot do."""
        return self._admitted(plan).stack

    def _admitted(self, plan: Plan) -> _Warm:
        key = plan.system_path.resolve()
        if key not in self._stacks:
            folder = self._logs / f"{plan.system.name}-{token_hex(4)}"
            stack = run.open_stack(plan, folder)
            self._stacks[key] = _Warm(stack, folder, Redaction(plan.system, os.environ))
        refuse_what_lacks(plan, self._stacks[key].stack)
        return self._stacks[key]

    async def of(self, plan: Plan, progress: Progress) -> Stack:
        """The stack of a plan, running."""
        warm, key = self._admitted(plan), plan.system_path.resolve()
        if key not in self._started:
            progress.step("starting brokers, stores and proxies")
            # Noted first: a start that is cancelled half-way has things to stop.
            self._started.add(key)
            with warm.redaction.messages(), warm.logged():
                await warm.stack.start()
        return warm.stack

    async def drop(self, plan: Plan) -> None:
        """End the stack of a plan, which may be broken; the next run gets a new one."""
        key = plan.system_path.resolve()
        warm = self._stacks.pop(key, None)
        if warm is not None and key in self._started:
            self._started.discard(key)
            await warm.stop()

    async def stop(self) -> None:
        """End what was started, each of it, whatever happens to the others."""
        try:
            while self._started:
                await self._stacks.pop(self._started.pop()).stop()
        finally:
            if self._started:
                await self.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
