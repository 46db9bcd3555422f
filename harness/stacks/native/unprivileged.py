"""Runs a command as another user who may still enter root's folders. A script, run by root.

``python -I -S unprivileged.py USER COMMAND...``: Postgres refuses to run as root, yet its programs and files may lie
where only root may go. The new user keeps one capability, to bypass file permissions; see capabilities(7), prctl(2).
"""

from __future__ import annotations

import ctypes
import os
import sys

_SECURE_BITS, _NO_SETUID_FIXUP = 28, 1 << 2
"""Without this bit access(2), which programs call before they start another, would ignore the capability."""
_AMBIENT, _RAISE = 47, 2
_PASS_PERMISSIONS = 1
"""CAP_DAC_OVERRIDE."""
_VERSION = 0x20080522


def become(user: int) -> None:
    """Switch to a user id, with the group of the same number only; raises OSError if root lacks the capability."""
    kernel = ctypes.CDLL(None, use_errno=True)
    _asked(kernel.prctl(_SECURE_BITS, _NO_SETUID_FIXUP, 0, 0, 0))
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    own = 1 << _PASS_PERMISSIONS
    # Effective, permitted, inheritable: first the lower 32 bits of each, then the upper.
    _asked(kernel.capset((ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)(own, own, own, 0, 0, 0)))
    _asked(kernel.prctl(_AMBIENT, _RAISE, _PASS_PERMISSIONS, 0, 0))


def _asked(answer: int) -> None:
    if answer != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    become(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - the command is the stack's own
