"""Ends what a stack started once its harness is gone, however it went. Runs as a script: standard library only.

``python -I reaper.py TOKEN FOLDER``: reads its standard input, a pipe that only the harness writes to; at its end
(the harness closed it, or died) kills every process that has ``ONEFFECT_STACK=TOKEN`` in its environment, which
children inherit, removes FOLDER, and leaves.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

VARIABLE = "ONEFFECT_STACK"
"""Marks every process of a stack with the stack's token."""

_CALM = 3
"""Looks in a row that must find nobody: one look can miss a process that is between fork and exec."""


def marked(token: str) -> list[int]:
    """Ids of the living processes of a stack, this one left out."""
    mark = f"{VARIABLE}={token}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark in environment:
                found.append(int(entry.name))
    return found


def reap(token: str) -> None:
    """Kill until nobody is left, also those that are stopped, and those that are born meanwhile."""
    calm = 0
    while calm < _CALM:
        pids = marked(token)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        calm = 0 if pids else calm + 1
        time.sleep(0.01)


def main(token: str, folder: str) -> None:
    """Wait for the end of the harness, then reap."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1024):
        pass
    reap(token)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
