"""Ends everything a stack started once its harness is gone, however it went. Runs as a script: standard library only.

``python -I reaper.py TOKEN FOLDER`` reads its standard input, a pipe to which only the harness holds the other end. At
end of file (the harness closed the pipe or died) the reaper kills every process with ``ONEFFECT_STACK=TOKEN`` in its
environment, which children inherit, removes FOLDER and exits. Postgres's children overwrite that environment, and a
killed Postgres leaves shared memory behind: the reaper finds both by the server's folder, which lies in FOLDER. If the
stack has containers, FOLDER/containers tells how to reach the engine, which then removes those labelled with TOKEN.
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
"""File in the stack's folder: the docker command, then one NAME=VALUE line per environment variable."""

_PATIENCE = 30.0
"""Seconds to wait for the engine's answer."""

_POSTMASTER = "postmaster.pid"
"""A Postgres server's file; its seventh line holds the key and id of its shared memory."""

_IPC_RMID = 0

_CALM = 3
"""Scans in a row that must find no process: one scan can miss a process between fork and exec."""


def marked(token: str, variable: str = VARIABLE) -> list[int]:
    """Return the ids of the live processes, except this one, that have ``variable=token`` in their environment."""
    mark = f"{variable}={token}".encode()
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark in environment:
                pids.append(int(entry.name))
    return pids


def servers(folder: Path) -> list[int]:
    """Return the ids of live Postgres processes below ``folder``: a server's children run in its data folder."""
    pids, folder = [], folder.resolve()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                cwd, program = (entry / "cwd").readlink(), (entry / "exe").readlink()
            except OSError:
                continue
            if program.name.partition(" ")[0] == "postgres" and cwd.is_relative_to(folder):
                pids.append(int(entry.name))
    return pids


def reap(token: str, folder: Path) -> bool:
    """Kill until no process is left, stopped and newly forked ones included, and free Postgres's shared memory.

    Returns False if containers may be left: the folder must then stay, so that the next start can remove them.
    """
    # Containers first: a process in a paused container does not die of a signal.
    _remove_containers(token, folder)
    calm = 0
    while calm < _CALM:
        pids = [*marked(token), *servers(folder)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        calm = 0 if pids else calm + 1
        time.sleep(0.01)
    # And again: a container that was being created is there now.
    removed = _remove_containers(token, folder)
    for file in folder.glob(f"*/*/{_POSTMASTER}"):
        _free(file)
    return removed


def _remove_containers(token: str, folder: Path) -> bool:
    """Remove the stack's containers; False if the engine failed."""
    lines = (folder / CONTAINERS).read_text().splitlines() if (folder / CONTAINERS).exists() else []
    if not lines:
        # The file is written before the first container: the harness died earlier than that.
        return True
    docker, *variables = lines
    env = dict(variable.split("=", 1) for variable in variables)

    def ask(*words: str) -> list[str]:
        done = subprocess.run([docker, *words], env=env, capture_output=True, check=True, timeout=_PATIENCE)
        return done.stdout.decode().split()

    try:
        if containers := ask("ps", "--all", "--quiet", "--filter", f"label={LABEL}={token}"):
            ask("rm", "--force", "--volumes", *containers)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _free(postmaster: Path) -> None:
    with contextlib.suppress(OSError, IndexError, ValueError):
        import ctypes

        ctypes.CDLL(None).shmctl(int(postmaster.read_text().splitlines()[6].split()[1]), _IPC_RMID, None)


def main(token: str, folder: str) -> None:
    """Wait until the harness is gone, then reap."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1024):
        pass
    if reap(token, Path(folder)):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
