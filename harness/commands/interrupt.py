"""Handles Ctrl-C and SIGTERM during a run: cancels it, and stops everything it started."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from harness.errors import first_on_purpose

T = TypeVar("T")

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """Work was cancelled by a signal; ``exit_code`` is 130 for Ctrl-C, 143 for SIGTERM."""

    def __init__(self, number: int, out: Path | None) -> None:
        judge = shlex.join(["oneffect", "check", str(out / "latest")]) if out is not None else ""
        name = signal.Signals(number).name
        judged = f", and the history so far can be judged: {judge}" if judge else ""
        super().__init__(f"interrupted by {name}; everything is stopped{judged}")
        self.exit_code = 128 + number


def until_interrupted(work: Coroutine[Any, Any, T], out: Path | None) -> T:
    """Run ``work`` to its end; its run directories go to ``out``, None if none can be judged.

    The first signal cancels the work and waits; a second one exits at once, which is safe too: each stack has a reaper
    that ends what the harness left. Raises Interrupted once everything is stopped. Of several errors at once, raises the
    first that the harness raised on purpose.
    """
    with first_on_purpose():
        return asyncio.run(_listening(work, out))


async def _listening(work: Coroutine[Any, Any, T], out: Path | None) -> T:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    received: list[int] = []

    def receive(number: int) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, receive, number)
    try:
        return await task
    except BaseException as error:
        # Whatever the cancelled work raised, the signal ended it.
        if received:
            raise Interrupted(received[0], out) from error
        raise
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
