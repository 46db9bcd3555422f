"""Runs a command that ends when its parent does, for whatever reason. A script.

``python -I -S with_harness.py PARENT COMMAND...``: otherwise a user's program would go on with the lines left in its
pipe, and send them to a system that is no longer observed. It may start other programs, so the whole process group is
killed, which must be its own. The kernel signals the parent's end: see prctl(2).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

_PARENT_DEATH_SIGNAL = 1
_BY_SIGNAL = 128
"""What shells add to a signal's number in the exit status of a process that it killed."""


def main(parent: int, words: list[str]) -> int:
    """Run the command, and return its exit status; 1 if it cannot be started, or if the parent is gone already."""
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        return 1
    try:
        command = subprocess.Popen(words)
    except OSError as error:
        sys.stderr.write(f"{words[0]}: {error.strerror}\n")
        return 1
    # Only the command reads and prints: nobody who waits for end of file must wait for this process.
    os.close(0)
    os.close(1)
    status = command.wait()
    return status if status >= 0 else _BY_SIGNAL - status


if __name__ == "__main__":
    status = main(int(sys.argv[1]), sys.argv[2:])
    sys.stderr.flush()
    os._exit(status)
