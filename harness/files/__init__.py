"""Loads the files that users write, and says what is wrong with them."""

from __future__ import annotations

from harness.files.load import line_of, load, wrong

__all__ = ["line_of", "load", "wrong"]
