"""A stack's temporary folder, and the reaper that cleans up after it."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.stacks import reaper

_PATIENCE = 60.0
"""Seconds to wait for the reaper. Generous for a busy machine: killing it early leaves processes running."""

_MODE = 0o700


class Workspace:
    """One stack's ``token``, ``folder`` and reaper, until ``close``.

    The harness and the reaper share a lock on ``folder/lock``. Once both are dead the lock is free, and the next
    stack to start sweeps the folder up.
    """

    def __init__(self) -> None:
        root = Path(tempfile.gettempdir()) / f"oneffect-{os.getuid()}"
        root.mkdir(mode=_MODE, exist_ok=True)
        root.chmod(_MODE)
        sweep(root)
        self.token = secrets.token_hex(8)
        # Lock the folder before renaming it to a name that a sweep would look at.
        unnamed = root / f".{self.token}"
        unnamed.mkdir(mode=_MODE)
        self._lock = os.open(unnamed / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.folder = unnamed.rename(root / self.token)
        self._reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__, self.token, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            pass_fds=[self._lock],
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The reaper's process id."""
        return self._reaper.pid

    def close(self) -> None:
        """Have the reaper kill all remaining processes and remove the folder; blocks until it has."""
        if self._reaper.stdin is not None:
            self._reaper.stdin.close()
        try:
            self._reaper.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._reaper.kill()
            self._reaper.wait()
        os.close(self._lock)


def sweep(root: Path) -> None:
    """Kill the processes and remove the folders that dead stacks left under ``root``; live stacks are left alone."""
    for folder in root.glob("[!.]*"):
        try:
            lock = os.open(folder / "lock", os.O_RDWR)
        except OSError:
            continue  # another harness is removing it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            if reaper.reap(folder.name, folder):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
