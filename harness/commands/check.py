"""``oneffect check``: judges a recorded run again, offline."""

from __future__ import annotations

from pathlib import Path

import typer

from harness.commands.options import RunDirectory
from harness.commands.places import run_directory
from harness.commands.run import EXIT


def check(run_dir: RunDirectory = None) -> None:
    """Judge a recorded run again, from its history alone.

    Exit status: 0 valid, 1 invalid, 2 no such run or a damaged history, 3 unknown.

    For example:

      oneffect check

      oneffect check .oneffect/runs/latest
    """
    from harness.reports import terminal
    from harness.run import judge_directory

    directory = run_directory(run_dir, Path.cwd())
    result = judge_directory(directory)
    terminal.tell(terminal.report(result.document, directory))
    raise typer.Exit(EXIT[result.document["verdict"]])
