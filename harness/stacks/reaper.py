"""Ends what a stack started once its harness is gone, however it went. Runs as a script: standard library only.

``python -I reaper.py TOKEN FOLDER``: reads its standard input, a pipe that only the harness writes to; at its end
(the harness closed it, or died) kills every process that has ``ONEFFECT_STACK=TOKEN`` in its environment, which
children inherit, removes FOLDER, and leaves. Postgres's children write over that environment, and the kernel keeps a
little memory of a server that was killed: both are found by the server's folder, which lies in FOLDER. Where the stack has
containers, FOLDER/containers says how the engine is asked to remove those that are labelled with TOKEN.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

VARIABLE = "ONEFFECT_STACK"
"""Marks every process of a stack with the stack's token."""

LABEL = "oneffect.stack"
"""Marks every container of a stack with the stack's token."""

CONTAINERS = "containers"
"""A stack's file: the docker command, then a line NAME=VALUE for each variable of its environment."""

_PATIENCE = 30.0
"""Seconds that the engine may take to answer."""

_POSTMASTER = "postmaster.pid"
"""A server's file; its seventh line names the memory by key and id."""

_IPC_RMID = 0

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


def servers(folder: Path) -> list[int]:
    """Ids of the living Postgres processes whose files lie in ``folder``; a server's children work in its folder."""
    found, folder = [], folder.resolve()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                cwd, program = (entry / "cwd").readlink(), (entry / "exe").readlink()
            except OSError:
                continue
            if program.name.partition(" ")[0] == "postgres" and cwd.is_relative_to(folder):
                found.append(int(entry.name))
    return found


def reap(token: str, folder: Path) -> bool:
    """Kill until nobody is left, also those that are stopped, and those that are born meanwhile; free their memory.

    False if containers may be left: then the folder, which tells of them, has to stay for the next start.
    """
    # First: a process in a container that stands still does not die of a signal.
    _remove_containers(token, folder)
    calm = 0
    while calm < _CALM:
        pids = [*marked(token), *servers(folder)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        calm = 0 if pids else calm + 1
        time.sleep(0.01)
    # Again: whoever was just being made is there now.
    removed = _remove_containers(token, folder)
    for file in folder.glob(f"*/*/{_POSTMASTER}"):
        _free(file)
    return removed


def _remove_containers(token: str, folder: Path) -> bool:
    """Whether none is left, as far as the engine says."""
    told = (folder / CONTAINERS).read_text().splitlines() if (folder / CONTAINERS).exists() else []
    if not told:
        # Containers are made once it is written: the harness died before.
        return True
    docker, *lines = told
    env = dict(line.split("=", 1) for line in lines)

    def ask(*words: str) -> list[str]:
        done = subprocess.run([docker, *words], env=env, capture_output=True, check=True, timeout=_PATIENCE)
        return done.stdout.decode().split()

    try:
        if found := ask("ps", "--all", "--quiet", "--filter", f"label={LABEL}={token}"):
            ask("rm", "--force", "--volumes", *found)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _free(postmaster: Path) -> None:
    with contextlib.suppress(OSError, IndexError, ValueError):
        import ctypes

        ctypes.CDLL(None).shmctl(int(postmaster.read_text().splitlines()[6].split()[1]), _IPC_RMID, None)


def main(token: str, folder: str) -> None:
    """Wait for the end of the harness, then reap."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1024):
        pass
    if reap(token, Path(folder)):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
