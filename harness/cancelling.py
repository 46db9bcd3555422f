"""Ends tasks that go on until they are cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_AGAIN: Final = 1.0
"""Seconds after which a task that has not ended is cancelled again."""


async def ended(tasks: Iterable[asyncio.Task[object]]) -> None:
    """Cancel tasks until they are done, whatever came of them.

    Once is not enough: until Python 3.12, ``asyncio.wait_for`` swallows a cancellation that comes as its wait ends, and
    libraries use it, redis-py for example. Whatever runs in a loop then goes on for ever.
    """
    while alive := [task for task in tasks if not task.done()]:
        for task in alive:
            task.cancel()
        await asyncio.wait(alive, timeout=_AGAIN)
