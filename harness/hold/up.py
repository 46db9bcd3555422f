"""Holds a system up: starts it, announces it to other terminals, injects faults on request, and ends it."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.addresses import described, written
from harness.announcement import FOLDER, Announcement, Announcer, Proxy
from harness.hold.injections import Injections
from harness.session.session import opened
from harness.session.stacks import Progress, Stacks

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.history.recorder import Recorder
    from harness.plan import SystemPlan
    from harness.session.live import LiveSystem
    from harness.stack import Stack

LOOK_EVERY = 0.5
"""Seconds between checks that every process still runs."""


class Terminal(Progress, Protocol):
    """The terminal of the user who holds the system up."""

    def up(self, announcement: Announcement, directory: Path) -> None:
        """Report that everything is up; its history and logs are in ``directory``."""

    def say(self, text: str) -> None:
        """Report an event since then."""


async def up(plan: SystemPlan, *, here: Path, out: Path, terminal: Terminal) -> None:
    """Start the system, announce it in ``here``, and inject faults on request until cancelled; then end everything.

    Its history and logs go to a run directory under ``out``. StackError if another system is up in ``here``, or this
    one cannot start.
    """
    async with AsyncExitStack() as cleanup:
        announcer = cleanup.enter_context(Announcer(here))
        stacks = await cleanup.enter_async_context(Stacks(out))
        stack = await stacks.of(plan, terminal)
        session = await cleanup.enter_async_context(opened(plan, stack, out))
        live, recorder, hide = session.live, session.recorder, session.redaction
        cleanup.push_async_callback(asyncio.to_thread, hide.folder, here / FOLDER / "parts" / live.names.run)
        terminal.step("starting services")
        await live.start_services(session.directory, plan.variant)
        injections = Injections(live, recorder, seed=plan.seed, say=terminal.say, hide=hide.text)
        cleanup.push_async_callback(injections.close)
        await injections.open(announcer.listening())
        announcement = _announcement(live, plan, announcer)
        announcer.announce(
            announcement, written(described(plan.system, stack, live.names)) if plan.addresses is None else None
        )
        terminal.up(announcement, session.directory)
        await _watch(stack, recorder, terminal.say)


def _announcement(live: LiveSystem, plan: SystemPlan, announcer: Announcer) -> Announcement:
    stack = live.stack
    return Announcement(
        run=live.names.run,
        pid=os.getpid(),
        stack=stack.name,
        system=str(plan.system_path.absolute()),
        front_door=live.front_door() if plan.system.load.upload is not None else None,
        upload=plan.system.load.upload,
        services={name: stack.direct(name) for name in stack.services},
        dependencies={name: stack.direct(name) for name in stack.dependencies},
        links={name: link.address for name, link in stack.links.items()},
        proxies={name: Proxy(api=link.api, name=link.proxy) for name, link in stack.links.items()},
        socket=announcer.address,
    )


async def _watch(stack: Stack, recorder: Recorder, say: Callable[[str], None]) -> None:
    """Report, until cancelled, each process that ends by itself."""
    # Processes that run elsewhere have no pid here.
    every = {**stack.dependencies, **stack.services}
    handles = {name: handle for name, handle in every.items() if handle.pid is not None}
    gone: set[str] = set()
    while True:
        ended = {name for name, handle in handles.items() if handle.pid is None and not handle.ended_on_purpose}
        for name in sorted(ended - gone):
            recorder.record("service", "exited", "run", name=name)
            say(f"{name} has ended by itself\n{handles[name].log_tail()}".rstrip())
        gone = ended
        await asyncio.sleep(LOOK_EVERY)
