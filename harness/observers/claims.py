"""Listens to what the system asks of its store, so that a story can say when a claim was asked for.

No verdict rests on it: what a store was asked is not what it did. A refused ``SET NX`` looks like one that was granted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Protocol

from harness.history.recorder import Recorder

WRITES = frozenset(
    {"SET", "SETNX", "DEL", "UNLINK", "EXPIRE", "PEXPIRE", "EVAL", "EVALSHA", "GETDEL", "HSET", "HSETNX", "SADD"}
)
"""Commands by their first word; a condition may follow it."""

_AGAIN = 0.5
"""Seconds until a look that broke is begun anew."""


class Monitor(Protocol):
    """The store's own stream of commands."""

    def monitor(self) -> AsyncIterator[tuple[float, str, str]]:
        """(clock, command with its condition, key) of each command it is asked, for ever; also after it comes back."""
        ...


async def listen(store: Monitor, recorder: Recorder) -> None:
    """Record each write, until cancelled. Whatever goes wrong between here and the store ends nothing but this look."""
    while True:
        async with aclosing(store.monitor()) as commands:  # type: ignore[type-var]
            while (seen := await _next(commands)) is not None:
                _, command, key = seen
                if command.upper().partition(" ")[0] in WRITES:
                    now = recorder.now()
                    recorder.record("claim", "seen", "observer:claims", t_begin=now, command=command.upper(), key=key)
        await asyncio.sleep(_AGAIN)


async def _next(commands: AsyncIterator[tuple[float, str, str]]) -> tuple[float, str, str] | None:
    try:
        return await anext(commands, None)
    except Exception:  # noqa: BLE001 - a story without its claims is still one; a run that ended here would be none
        return None
