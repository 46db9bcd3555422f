"""Runs a command that the kernel kills once its parent is gone. A script.

``python -I -S with_harness.py PARENT COMMAND...``: a user's program that reads lines would otherwise go on with those that are
still in its pipe, and send them to a system that nobody watches any more. See prctl(2).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PARENT_DEATH_SIGNAL = 1


def main(parent: int, words: list[str]) -> None:
    """Become the command; exit if the parent is gone already."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the harness is gone")
    try:
        os.execvp(words[0], words)  # noqa: S606 - the command is the user's own
    except OSError as error:
        sys.exit(f"{words[0]}: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
