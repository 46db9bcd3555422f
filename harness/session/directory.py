"""Where what is recorded goes: a folder, and in it one directory for each session."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.errors import FileError

if TYPE_CHECKING:
    from harness.plan import SystemPlan

RUNS: Final = Path(".oneffect", "runs")
"""Where run directories go, from the current folder."""

LATEST: Final = "latest"
"""The link to the newest run."""


def out_folder(given: Path | None) -> Path:
    """The folder that run directories go to, made if it is not there; FileError if that cannot be."""
    folder = given or RUNS
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot be made: {error.strerror}; give another --out DIR", path=str(folder)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FileError("may not be written to; give another --out DIR", path=str(folder))
    return folder


def new_directory(out: Path, plan: SystemPlan, run: str) -> Path:
    """The directory of one session under ``out``, with its plan.json; a run's is ``latest`` from now on."""
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
