"""``oneffect wire``: shows what passed on the tapped links of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import AsJson, RunDirectory
from harness.commands.places import run_directory
from harness.errors import FileError


def wire(
    run_dir: RunDirectory = None,
    link: Annotated[
        str | None,
        typer.Option(metavar="LINK", help="Only this link, message by message; without #N, of every replica."),
    ] = None,
    event: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only what names this event, its upload or its raw blob, in order."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show what passed on the links that had a tap: by command, or with --link or --event each message in order.

    Times are from the request's arrival at the tap until the reply has passed it. Values are never recorded.

    For example:

      oneffect wire

      oneffect wire --event 7f3a

      oneffect wire .oneffect/runs/latest --link 'essay_lifecycle#1->redis'
    """
    import json

    from harness.history.reader import History
    from harness.reports import terminal
    from harness.reports import wire as report
    from harness.reports.story import find

    directory = run_directory(run_dir, Path.cwd())
    path = directory / "history.jsonl"
    if not path.is_file():
        raise FileError("there is no history.jsonl here; name a run directory", path=str(directory))
    with History(path) as history:
        of = report.links(history, link)
        if link is None and event is None:
            rows = report.by_command(history, of)
        else:
            rows = report.in_order(history, of, find(history, "event", event) if event is not None else None)
        troubles = report.troubles(history)
    if as_json:
        typer.echo(json.dumps([dict(row) for row in rows], indent=2, ensure_ascii=False))
        return
    printer = terminal.console()
    if rows:
        columns = list(rows[0])
        cells = [["" if row[name] is None else row[name] for name in columns] for row in rows]
        printer.print(terminal.table("", [name.replace("_", " ") for name in columns], cells))
    else:
        printer.print("no matching message passed a tap")
    for row in troubles:
        what = "on not parsed" if row["phase"] == "plain" else "the tap itself failed and closed a connection"
        when = "from" if row["phase"] == "plain" else "at"
        printer.print(f"{row['link']}: {when} {row['t'] / 1e9:.3f} s {what}: {row['error']}")
