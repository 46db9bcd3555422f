"""Stacks that stay up from run to run: one for each system file and place that it runs at, started on first use."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Protocol, Self

from harness.errors import OneffectError
from harness.log import NAME, logged
from harness.plan import SystemPlan, refuse_fault, refuse_taps
from harness.redaction import Redaction
from harness.session.directory import out_folder
from harness.session.rest import HEALTHY_WITHIN
from harness.stack import Stack

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class Progress(Protocol):
    """Receives the progress of a start or a run."""

    def step(self, text: str) -> None:
        """Begin a new step."""

    def note(self, text: str) -> None:
        """Report an event within the step."""


def open_stack(plan: SystemPlan, folder: Path) -> Stack:
    """Make the plan's stack without starting it; its logs go to ``folder``."""
    from harness.stacks import make_adopted, make_stack

    if plan.adopted is not None:
        return make_adopted(plan.system, plan.adopted, folder)
    return make_stack(
        plan.stack, plan.system, folder, working_directory=plan.system_path.parent, addresses=plan.addresses
    )


@dataclass(slots=True)
class _Warm:
    """A stack, what it was made of, the folder of its logs, their redaction, and whether the stack was started."""

    stack: Stack
    made_of: object
    folder: Path
    redaction: Redaction
    started: bool = False

    def logged(self) -> AbstractContextManager[None]:
        return logged(self.folder / NAME, self.redaction.text)

    async def start(self) -> None:
        # Set first: a start cancelled half-way leaves things to stop.
        self.started = True
        with self.redaction.messages(), self.logged():
            await self.stack.start()

    async def stop(self) -> None:
        try:
            with self.logged():
                await self.stack.stop()
        finally:
            # Brokers, stores and proxies write their own logs: redact these once they are down.
            # A stack that runs elsewhere writes none.
            if self.folder.exists():
                await asyncio.to_thread(self.redaction.folder, self.folder)


def _key(plan: SystemPlan) -> object:
    """Return what plans have in common that run on one stack."""
    return plan.system_path.resolve(), plan.stack, plan.addresses and plan.addresses.resolve()


def _made_of(plan: SystemPlan) -> object:
    """Return what a plan's stack is made of: its two files may be edited between two runs."""
    file = plan.addresses
    return plan.system, file.read_bytes() if file is not None and file.is_file() else None


async def _whole(stack: Stack) -> bool:
    """Whether each dependency answers, and no proxy is down or has a toxic."""
    try:
        for handle in stack.dependencies.values():
            await handle.ready(HEALTHY_WITHIN)
        return not any([await link.toxics() for link in stack.links.values()])
    except (OneffectError, OSError, TimeoutError):
        return False


class Stacks:
    """Warm stacks; leaving ``async with`` stops them. Run directories go to ``out``, the stacks' logs to a folder there.

    ``admitted`` holds which plans were already checked against which stack, shared between several ``Stacks``.
    """

    def __init__(self, out: Path | None, admitted: set[object] | None = None) -> None:
        self.out = out_folder(out)
        self._stacks: dict[object, _Warm] = {}
        self._admitted = admitted if admitted is not None else set()

    def admit(self, plan: SystemPlan) -> Stack:
        """Return a plan's stack, which may not run yet; PlanRefused if it cannot perform one of the plan's faults."""
        return self._warm(plan).stack

    def _warm(self, plan: SystemPlan) -> _Warm:
        key = _key(plan)
        if key not in self._stacks:
            folder = self.out / "stacks" / f"{plan.system.name}-{token_hex(4)}"
            redaction = Redaction(plan.system, os.environ)
            self._stacks[key] = _Warm(open_stack(plan, folder), _made_of(plan), folder, redaction)
        if (key, plan.digest) not in self._admitted:
            for planned in plan.faults:
                refuse_fault(planned, self._stacks[key].stack)
            refuse_taps(plan, self._stacks[key].stack)
            self._admitted.add((key, plan.digest))
        return self._stacks[key]

    async def of(self, plan: SystemPlan, progress: Progress) -> Stack:
        """Return a plan's stack, starting it if needed; one that was made of something else is stopped first."""
        former = self._stacks.get(_key(plan))
        if former is not None and former.made_of != _made_of(plan):
            await self.drop(plan)
        warm = self._warm(plan)
        if not warm.started:
            progress.step("starting brokers, stores and proxies")
            await warm.start()
        return warm.stack

    async def check(self, plan: SystemPlan) -> None:
        """Drop a plan's stack if a run has left it broken; what runs elsewhere cannot be made anew."""
        warm = self._stacks.get(_key(plan))
        if warm is not None and plan.addresses is None and not await _whole(warm.stack):
            await self.drop(plan)

    async def drop(self, plan: SystemPlan) -> None:
        """Stop a plan's stack, which may be broken; the next run gets a new one."""
        warm = self._stacks.pop(_key(plan), None)
        if warm is not None and warm.started:
            await warm.stop()

    async def stop(self) -> None:
        """Stop every started stack, even if stopping another fails."""
        try:
            while self._stacks:
                _, warm = self._stacks.popitem()
                if warm.started:
                    await warm.stop()
        finally:
            if self._stacks:
                await self.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
