"""Records the commands that the system sends to its store, so that a story can say when a claim was requested.

No verdict rests on them: a request does not show its result. A refused ``SET NX`` looks like a granted one.
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
"""First words of the commands to record; a condition may follow."""

_AGAIN = 0.5
"""Seconds until a broken stream is reopened."""


class Monitor(Protocol):
    """The store's own stream of commands."""

    def monitor(self) -> AsyncIterator[tuple[float, str, str]]:
        """Yield (clock, command with its condition, key) for ever, also across restarts of the store."""


async def listen(store: Monitor, recorder: Recorder) -> None:
    """Record each write until cancelled; if the stream breaks, reopen it."""
    while True:
        async with aclosing(store.monitor()) as commands:  # type: ignore[type-var]
            while (received := await _next(commands)) is not None:
                _, command, key = received
                if command.upper().partition(" ")[0] in WRITES:
                    now = recorder.now()
                    recorder.record("claim", "seen", "observer:claims", t_begin=now, command=command.upper(), key=key)
        await asyncio.sleep(_AGAIN)


async def _next(commands: AsyncIterator[tuple[float, str, str]]) -> tuple[float, str, str] | None:
    try:
        return await anext(commands, None)
    except Exception:  # noqa: BLE001 - a story can do without claims; the run must not end for them
        return None
