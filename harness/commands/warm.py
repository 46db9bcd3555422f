"""Stacks that stay up from run to run: one for each system file, started when it is first needed."""

from __future__ import annotations

import os
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import TYPE_CHECKING, Self

from harness import run
from harness.plan import refuse_what_lacks
from harness.redaction import Redaction

if TYPE_CHECKING:
    from harness.plan import Plan
    from harness.run import Progress
    from harness.stack import Stack


class WarmStacks:
    """``async with`` ends every stack that was started. Their logs go to a folder under ``out``."""

    def __init__(self, out: Path) -> None:
        self._logs = out / "stacks"
        self._stacks: dict[Path, Stack] = {}
        self._started: set[Path] = set()

    def admit(self, plan: Plan) -> Stack:
        """The stack of a plan, maybe not running yet; PlanRefused says what it cannot do."""
        key = plan.system_path.resolve()
        if key not in self._stacks:
            self._stacks[key] = run.open_stack(plan, self._logs / f"{plan.system.name}-{token_hex(4)}")
        refuse_what_lacks(plan, self._stacks[key])
        return self._stacks[key]

    async def of(self, plan: Plan, progress: Progress) -> Stack:
        """The stack of a plan, running."""
        stack, key = self.admit(plan), plan.system_path.resolve()
        if key not in self._started:
            progress.step("starting brokers, stores and proxies")
            # Noted first: a start that is cancelled half-way has things to stop.
            self._started.add(key)
            with Redaction(plan.system, os.environ).messages():
                await stack.start()
        return stack

    async def drop(self, plan: Plan) -> None:
        """End the stack of a plan, which may be broken; the next run gets a new one."""
        key = plan.system_path.resolve()
        stack = self._stacks.pop(key, None)
        if stack is not None and key in self._started:
            self._started.discard(key)
            await stack.stop()

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
