"""``oneffect merge``: joins parts of a history that workers on other machines wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.places import run_directory


def merge(
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="The run whose load they made.")],
    parts: Annotated[
        list[Path], typer.Argument(metavar="PART...", help="Files part-WORKER.jsonl, copied from there.")
    ],
) -> None:
    """Join what workers on other machines did to a run's history; then judge it again with oneffect check.

    An operation that is there already is left out, so merging twice changes nothing; one that says something else there is
    refused, and nothing is changed.

    Exit status: 0 joined, 2 no such run, or a part that is damaged, of another run, or contradicts the history.

    For example:

      oneffect merge .oneffect/runs/latest part-farm_1.jsonl part-farm_2.jsonl
    """
    from harness.history.merge import merge as join

    directory = run_directory(run_dir, Path.cwd())
    added, there = join(directory / "history.jsonl", parts)
    typer.echo(f"{added} records joined, {there} were there already; judge it: oneffect check {directory}")
