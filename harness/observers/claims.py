"""Listens to what the system asks of its store, so that a story can say when a claim was made.

No verdict rests on it: what a store was asked is not what it did.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Protocol

from harness.history.recorder import Recorder

WRITES = frozenset(
    {"SET", "SETNX", "DEL", "UNLINK", "EXPIRE", "PEXPIRE", "EVAL", "EVALSHA", "GETDEL", "HSET", "SADD"}
)


class Monitor(Protocol):
    """The store's own stream of commands."""

    def monitor(self) -> AsyncIterator[tuple[float, str, str]]:
        """(clock, command, key) for each command it is asked, for ever; goes on after the store comes back."""
        ...


async def listen(store: Monitor, recorder: Recorder) -> None:
    """Record each write, until cancelled."""
    async with aclosing(store.monitor()) as commands:  # type: ignore[type-var]
        async for _, command, key in commands:
            if command.upper() in WRITES:
                now = recorder.now()
                recorder.record("claim", "seen", "observer:claims", t_begin=now, command=command.upper(), key=key)
