"""The append-only record of a run: its format, its writer, its reader."""

from __future__ import annotations

from pathlib import Path
from typing import Final

RUNS: Final = Path(".oneffect", "runs")
"""Folder of the run directories, relative to the current folder."""
