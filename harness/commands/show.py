"""``oneffect show``: tells the story of one event or upload, or of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import RunDirectory
from harness.commands.places import run_directory
from harness.errors import FileError, UsageError


def show(
    run_dir: RunDirectory = None,
    event: Annotated[str | None, typer.Option(metavar="ID", help="An event's id, or its beginning.")] = None,
    upload: Annotated[str | None, typer.Option(metavar="ID", help="An upload's id, or its beginning.")] = None,
) -> None:
    """Tell the story of one event or upload, oldest first; without either, report the run's findings.

    For example:

      oneffect show

      oneffect show --event 7f3a

      oneffect show .oneffect/runs/latest --upload r1b2c3d4-0000012
    """
    from harness.reports import document, terminal

    if event is not None and upload is not None:
        raise UsageError("give --event or --upload, not both")
    directory = run_directory(run_dir, Path.cwd())
    if event is None and upload is None:
        if not (directory / "verdict.json").is_file():
            raise FileError("this run is not judged yet; run: oneffect check", path=str(directory))
        terminal.tell(terminal.report(document.read(directory), directory))
        return
    from harness.history.reader import History
    from harness.reports.story import find, tell

    path = directory / "history.jsonl"
    if not path.is_file():
        raise FileError("there is no history.jsonl here; name a run directory", path=str(directory))
    with History(path) as history:
        story = (
            tell(history, "event", find(history, "event", event))
            if event is not None
            else tell(history, "upload", find(history, "upload", upload or ""))
        )
    terminal.tell(terminal.story(story))
