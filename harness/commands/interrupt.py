"""Ctrl-C and SIGTERM while a run is under way: it is cancelled, and everything it started is stopped."""

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
        super().__init__(f"interrupted by {name}; all is stopped{judged}")
        self.exit_code = 128 + number


def until_interrupted(work: Coroutine[Any, Any, T], out: Path | None) -> T:
    """Run ``work`` to its end; its run directories go to ``out``, None if nothing of it can be judged.

    The first signal cancels it and waits; a second one leaves at once.
    Raises Interrupted once all is stopped. Leaving at once is safe too: each stack has a reaper of its own, which
    ends what its harness left. Of errors raised together the first that the harness raised on purpose is raised.
    """
    with first_on_purpose():
        return asyncio.run(_listening(work, out))


async def _listening(work: Coroutine[Any, Any, T], out: Path | None) -> T:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    came: list[int] = []

    def came_in(number: int) -> None:
        if came:
            os._exit(128 + number)
        came.append(number)
        task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, came_in, number)
    try:
        return await task
    except BaseException as error:
        # Whatever the cancelled work raised on its way out, it was the signal that ended it.
        if came:
            raise Interrupted(came[0], out) from error
        raise
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
