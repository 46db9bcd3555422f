"""Shared by faults on processes: find a process that has the needed capabilities, and bring it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from harness.errors import FaultError
from harness.faults.work import starting
from harness.stack import Forgetful, Killable, Pausable, ServiceHandle, Stoppable

if TYPE_CHECKING:
    from harness.faults.base import FaultContext

READY = 60.0
"""Seconds within which a restarted process must answer."""


class Mortal(ServiceHandle, Killable, Protocol):
    """A process that can be killed and started again."""


class Leaving(ServiceHandle, Killable, Stoppable, Protocol):
    """A process that can be stopped, or killed, and started again."""


class Freezing(ServiceHandle, Pausable, Protocol):
    """A process that can be paused."""


class Store(ServiceHandle, Killable, Stoppable, Forgetful, Protocol):
    """A store that can be stopped, killed, and lose its files."""


def mortal(context: FaultContext, on: str) -> Mortal:
    """Return the running replica or dependency ``on``; FaultError if it cannot be killed."""
    return cast("Mortal", _handle(context, on, Killable))


def leaving(context: FaultContext, on: str) -> Leaving:
    """Return ``on``; FaultError if it cannot be stopped and killed."""
    return cast("Leaving", _handle(context, on, Killable, Stoppable))


def freezing(context: FaultContext, on: str) -> Freezing:
    """Return ``on``; FaultError if it cannot be paused."""
    return cast("Freezing", _handle(context, on, Pausable))


def store(context: FaultContext, on: str) -> Store:
    """Return ``on``; FaultError if it cannot lose its files."""
    return cast("Store", _handle(context, on, Killable, Stoppable, Forgetful))


def _handle(context: FaultContext, on: str, *capabilities: type) -> ServiceHandle:
    handles = {**context.stack.services, **context.stack.dependencies}
    if on not in handles:
        raise FaultError(f"{on} does not run; running: {', '.join(sorted(handles)) or 'none'}")
    lacking = [capability.__name__ for capability in capabilities if not isinstance(handles[on], capability)]
    if lacking:
        raise FaultError(f"{on} on the {context.stack.name} stack is not {' and '.join(lacking)}")
    return handles[on]


async def pause(context: FaultContext, replica: Freezing) -> None:
    """Pause a replica, and record it."""
    await replica.pause()
    context.note("paused", replica.name, replica.pid)


async def resume(context: FaultContext, replica: Freezing) -> None:
    """Resume a replica, and record it."""
    await replica.resume()
    context.note("resumed", replica.name, replica.pid)


async def revive(context: FaultContext, dead: Mortal) -> None:
    """Start the process unless it runs, and wait until it answers."""
    if dead.pid is None:
        await starting(context, dead.name)
        await dead.start()
        context.note("started", dead.name, dead.pid)
    await dead.ready(READY)
    context.note("ready", dead.name, dead.pid)
