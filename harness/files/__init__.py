"""The files a user writes: loading them, and saying what is wrong with one."""

from __future__ import annotations

from harness.files.load import line_of, load

__all__ = ["line_of", "load"]
