"""Acts at the messages that a trigger holds, one after the other."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from harness.stack import Held
    from harness.taps.trigger import Trigger


async def at_each(
    trigger: Trigger,
    met: Callable[[int], Awaitable[Held | None]],
    act: Callable[[Held], Awaitable[bool]],
    *,
    once: bool,
) -> int:
    """Act at each message that ``met`` returns, until it returns None; return at how many. ``once``: only at one.

    ``met`` is told how many there were so far. If ``act`` returns False, or the service has given the message up, the next
    one takes its turn.
    """
    acted = 0
    while (held := await met(acted)) is not None:
        try:
            if held.waiting and await act(held):
                acted += 1
            else:
                trigger.again()
        finally:
            held.release()
        if acted and once:
            break
    return acted


@contextmanager
def waiting(trigger: Trigger) -> Iterator[asyncio.Task[Held]]:
    """Wait for a trigger's next message in a task while the scope lasts.

    A message that comes as the scope is broken off is released: nobody else would release it.
    """
    met = asyncio.create_task(trigger.met())
    try:
        yield met
    except BaseException:
        if met.done() and not met.cancelled():
            met.result().release()
        raise
    finally:
        met.cancel()
