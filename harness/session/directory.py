"""The output folder, and in it one directory for each session."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from harness.errors import FileError
from harness.history import RUNS

if TYPE_CHECKING:
    from pathlib import Path

    from harness.plan import SystemPlan

LATEST: Final = "latest"
"""Name of the link to the newest run."""


def out_folder(given: Path | None) -> Path:
    """Return the folder for run directories, creating it if missing; FileError if it cannot be written to."""
    folder = given or RUNS
    require_writable(folder, "give another --out DIR")
    return folder


def require_writable(folder: Path, advice: str) -> None:
    """Create a folder if it is missing; FileError, with ``advice``, if it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot be created: {error.strerror}; {advice}", path=str(folder)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FileError(f"is not writable; {advice}", path=str(folder))


def new_directory(out: Path, plan: SystemPlan, run: str) -> Path:
    """Create a session's directory under ``out``, with its plan.json; point ``latest`` to it if it is a run's."""
    import orjson

    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    directory = out / f"{stamp}-{plan.label.replace(' ', '-')}-{plan.seed}-{run}"
    directory.mkdir(parents=True)
    (directory / "plan.json").write_bytes(orjson.dumps(plan.document, option=orjson.OPT_INDENT_2))
    if plan.runs:
        link = out / f".{LATEST}-{run}"
        link.symlink_to(directory.name)
        link.replace(out / LATEST)
    return directory
