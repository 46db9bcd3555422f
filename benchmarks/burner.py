"""Keeps every core busy, so that one sees what a busy machine makes of a test: ``make busy`` runs beside it.

``python -m benchmarks.burner PARENT``: TIMES processes a core that do nothing else, as nice as any. They end with this
process; this process ends after MOST seconds, or as soon as process PARENT, which started it, is gone, however it went.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import Final

MOST: Final = 7200.0
"""Seconds after which it ends, whoever forgot it."""

_LOOK: Final = 0.1
"""Seconds between two looks at whether the parent is still there."""

_ROUNDS: Final = 100_000
"""Rounds of burning between two looks, some milliseconds."""


def burn(parent: int, until: float) -> None:
    """Take all of a core that is to be had, until the parent is gone or the time is over."""
    while os.getppid() == parent and time.monotonic() < until:
        for _ in range(_ROUNDS):
            pass


def main(arguments: list[str] | None = None) -> None:
    """Start them, and wait."""
    words = argparse.ArgumentParser(prog="burner", description="keeps every core busy")
    words.add_argument("parent", type=int, help="process id of whoever starts this; it ends with it")
    words.add_argument("--times", type=int, default=3, help="processes a core (default: 3)")
    words.add_argument("--most", type=float, default=MOST, help=f"seconds after which it ends (default: {MOST:g})")
    asked = words.parse_args(arguments)
    cores, me, until = len(os.sched_getaffinity(0)), os.getpid(), time.monotonic() + asked.most
    for _ in range(asked.times * cores):
        if os.fork() == 0:
            burn(me, until)
            os._exit(0)
    print(f"burner: {asked.times * cores} processes on {cores} cores for {asked.most:g} s at most", file=sys.stderr)
    while os.getppid() == asked.parent and time.monotonic() < until:
        time.sleep(_LOOK)


if __name__ == "__main__":
    main()
