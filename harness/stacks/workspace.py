"""A stack's temporary folder and the reaper that watches over it."""

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
"""Seconds that reaping may take, on a busy machine too: a reaper that is cut off leaves something running."""

_MODE = 0o700


class Workspace:
    """Holds one stack's ``token``, ``folder`` and reaper, until ``close``.

    A lock on ``folder/lock`` is shared with the reaper: it is free only when the harness and the reaper are both
    dead, and then the next stack that starts sweeps up.
    """

    def __init__(self) -> None:
        root = Path(tempfile.gettempdir()) / f"oneffect-{os.getuid()}"
        root.mkdir(mode=_MODE, exist_ok=True)
        root.chmod(_MODE)
        sweep(root)
        self.token = secrets.token_hex(8)
        # Locked before it has the name that a sweep looks at.
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
        """Let the reaper end every process that is left and remove the folder; blocks until it has."""
        if self._reaper.stdin is not None:
            self._reaper.stdin.close()
        try:
            self._reaper.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._reaper.kill()
            self._reaper.wait()
        os.close(self._lock)


def sweep(root: Path) -> None:
    """End and remove what dead stacks left under ``root``; stacks that live are left alone."""
    for folder in root.glob("[!.]*"):
        try:
            lock = os.open(folder / "lock", os.O_RDWR)
        except OSError:
            continue  # another harness is just removing it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            if reaper.reap(folder.name, folder):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
