"""What faults on processes share: finding one that can be broken so, and bringing it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from harness.errors import FaultError
from harness.stack import Forgetful, Killable, Pausable, ServiceHandle, Stoppable

if TYPE_CHECKING:
    from harness.faults.base import Arena

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


def mortal(arena: Arena, on: str) -> Mortal:
    """The replica or dependency ``on``; like the next three FaultError if it does not run or cannot."""
    return cast("Mortal", _handle(arena, on, Killable))


def leaving(arena: Arena, on: str) -> Leaving:
    """One that can be asked to leave."""
    return cast("Leaving", _handle(arena, on, Killable, Stoppable))


def freezing(arena: Arena, on: str) -> Freezing:
    """One that can be paused."""
    return cast("Freezing", _handle(arena, on, Pausable))


def store(arena: Arena, on: str) -> Store:
    """One that can forget."""
    return cast("Store", _handle(arena, on, Killable, Stoppable, Forgetful))


def _handle(arena: Arena, on: str, *capabilities: type) -> ServiceHandle:
    known = {**arena.stack.services, **arena.stack.dependencies}
    if on not in known:
        raise FaultError(f"{on} does not run; running are {', '.join(sorted(known)) or 'none'}")
    lacking = [capability.__name__ for capability in capabilities if not isinstance(known[on], capability)]
    if lacking:
        raise FaultError(f"{on} on the {arena.stack.name} stack is not {' and '.join(lacking)}")
    return known[on]


async def pause(arena: Arena, replica: Freezing) -> None:
    """Stop it where it is."""
    await replica.pause()
    arena.note("paused", replica.name, replica.pid)


async def resume(arena: Arena, replica: Freezing) -> None:
    """Let it go on."""
    await replica.resume()
    arena.note("resumed", replica.name, replica.pid)


async def revive(arena: Arena, dead: Mortal) -> None:
    """Start it unless it runs, and wait until it answers."""
    if dead.pid is None:
        await dead.start()
        arena.note("started", dead.name, dead.pid)
    await dead.ready(READY)
    arena.note("ready", dead.name, dead.pid)
