"""What faults on processes share: finding one that can be broken so, and bringing it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from harness.errors import FaultError
from harness.stack import Forgetful, Killable, Pausable, ServiceHandle, Stoppable

if TYPE_CHECKING:
    from harness.faults.base import FaultContext

READY = 60.0
"""Seconds until what was started again must answer."""


class Mortal(ServiceHandle, Killable, Protocol):
    """Can be killed and started again."""


class Leaving(ServiceHandle, Killable, Stoppable, Protocol):
    """Can be asked to leave, or killed, and started again."""


class Freezing(ServiceHandle, Pausable, Protocol):
    """Can be paused."""


class Store(ServiceHandle, Killable, Stoppable, Forgetful, Protocol):
    """Can be killed and lose its files."""


def mortal(context: FaultContext, on: str) -> Mortal:
    """The replica or dependency ``on``; like the next three FaultError if it does not run or cannot."""
    return cast("Mortal", _handle(context, on, Killable))


def leaving(context: FaultContext, on: str) -> Leaving:
    """One that can be asked to leave."""
    return cast("Leaving", _handle(context, on, Killable, Stoppable))


def freezing(context: FaultContext, on: str) -> Freezing:
    """One that can be paused."""
    return cast("Freezing", _handle(context, on, Pausable))


def store(context: FaultContext, on: str) -> Store:
    """One that can forget."""
    return cast("Store", _handle(context, on, Killable, Stoppable, Forgetful))


def _handle(context: FaultContext, on: str, *capabilities: type) -> ServiceHandle:
    known = {**context.stack.services, **context.stack.dependencies}
    if on not in known:
        raise FaultError(f"{on} does not run; running are {', '.join(sorted(known)) or 'none'}")
    lacking = [capability.__name__ for capability in capabilities if not isinstance(known[on], capability)]
    if lacking:
        raise FaultError(f"{on} on the {context.stack.name} stack is not {' and '.join(lacking)}")
    return known[on]


async def pause(context: FaultContext, replica: Freezing) -> None:
    """Stop it where it is."""
    await replica.pause()
    context.note("paused", replica.name, replica.pid)


async def resume(context: FaultContext, replica: Freezing) -> None:
    """Let it go on."""
    await replica.resume()
    context.note("resumed", replica.name, replica.pid)


async def revive(context: FaultContext, dead: Mortal) -> None:
    """Start it unless it runs, and wait until it answers."""
    if dead.pid is None:
        await dead.start()
        context.note("started", dead.name, dead.pid)
    await dead.ready(READY)
    context.note("ready", dead.name, dead.pid)
