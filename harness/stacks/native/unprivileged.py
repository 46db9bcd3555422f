"""Becomes another user who may still enter root's own folders, then a command. Runs as a script, by root.

``python -I -S unprivileged.py USER COMMAND...``: Postgres refuses to be root, and its programs and files may lie where
only root can go. One capability is kept, that of passing file permissions; sources: capabilities(7), prctl(2).
"""

from __future__ import annotations

import ctypes
import os
import sys

_SECURE_BITS, _NO_SETUID_FIXUP = 28, 1 << 2
"""Without it access(2), which programs ask before they start one another, would take no notice of a capability."""
_AMBIENT, _RAISE = 47, 2
_PASS_PERMISSIONS = 1
"""CAP_DAC_OVERRIDE."""
_VERSION = 0x20080522


def become(user: int) -> None:
    """Take on a user id, its group of the same number and no other; OSError if root itself lacks the capability."""
    kernel = ctypes.CDLL(None, use_errno=True)
    _asked(kernel.prctl(_SECURE_BITS, _NO_SETUID_FIXUP, 0, 0, 0))
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    own = 1 << _PASS_PERMISSIONS
    # Effective, permitted and inheritable, the lower 32 bits of each first.
    _asked(kernel.capset((ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)(own, own, own, 0, 0, 0)))
    _asked(kernel.prctl(_AMBIENT, _RAISE, _PASS_PERMISSIONS, 0, 0))


def _asked(answer: int) -> None:
    if answer != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    become(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - the command is the stack's own
