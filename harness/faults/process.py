"""What faults on processes share: finding one that can be broken so, and bringing it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from harness.errors import FaultError
from harness.stack import Forgetful, Killable, Pausable, ServiceHandle, Stoppable

if TYPE_CHECKING:
    from harness.faults.base import Arena

READY = 25.0
"""Seconds until what was started again must answer."""


class Mortal(ServiceHandle, Killable, Protocol):
    """Can be killed and started again."""


class Leaving(ServiceHandle, Killable, Stoppable, Protocol):
    """Can be asked to leave, or killed, and started again."""


class Freezing(ServiceHandle, Pausable, Protocol):
    """Can be paused."""


class Store(ServiceHandle, Killable, Stoppable, Forgetful, Protocol):
    """Can be killed and lose its files."""


_Handle = TypeVar("_Handle", bound=ServiceHandle)
_CAPABILITIES = (Killable, Stoppable, Pausable, Forgetful)


def handle(arena: Arena, on: str, kind: type[_Handle]) -> _Handle:
    """The replica or dependency ``on``; FaultError if it does not run or cannot be broken so."""
    known = {**arena.stack.services, **arena.stack.dependencies}
    if on not in known:
        raise FaultError(f"{on} does not run; running are {', '.join(sorted(known)) or 'none'}")
    lacking = [c.__name__ for c in _CAPABILITIES if issubclass(kind, c) and not isinstance(known[on], c)]
    if lacking:
        raise FaultError(f"{on} on the {arena.stack.name} stack is not {' and '.join(lacking)}")
    return cast("_Handle", known[on])


async def revive(arena: Arena, mortal: Mortal) -> None:
    """Start it unless it runs, and wait until it answers."""
    if mortal.pid is None:
        await mortal.start()
        arena.note("started", mortal)
    await mortal.ready(READY)
    arena.note("ready", mortal)
