"""Keep every core busy, to see how tests behave on a busy machine: ``make busy`` runs beside it.

``python -m benchmarks.burner PARENT`` starts TIMES busy processes a core, at normal priority. They end with this
process, which ends after MOST seconds, or once process PARENT, which started it, is gone for whatever reason.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import Final

MOST: Final = 7200.0
"""Seconds after which it ends, in case it is forgotten."""

_LOOK: Final = 0.1
"""Seconds between two checks that the parent still runs."""

_ROUNDS: Final = 100_000
"""Busy rounds between two checks, some milliseconds."""


def burn(parent: int, until: float) -> None:
    """Use a whole core until the parent is gone or the time is up."""
    while os.getppid() == parent and time.monotonic() < until:
        for _ in range(_ROUNDS):
            pass


def main(arguments: list[str] | None = None) -> None:
    """Start the busy processes, and wait for the parent or the time."""
    words = argparse.ArgumentParser(prog="burner", description="keeps every core busy")
    words.add_argument("parent", type=int, help="process to follow: the burner ends with it")
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
