"""``oneffect merge``: joins parts of a history from workers on other machines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.commands.places import run_directory
from harness.errors import OneffectError

if TYPE_CHECKING:
    from harness.redaction import Redaction


def merge(
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="The run whose load the workers made.")],
    parts: Annotated[
        list[Path], typer.Argument(metavar="PART...", help="Files part-WORKER.jsonl, copied from the workers.")
    ],
) -> None:
    """Join parts from workers on other machines to a run's history; then judge it again with oneffect check.

    Operations that the history already has are skipped, so merging twice changes nothing. If one contradicts the history,
    the merge is refused and changes nothing.

    Exit status: 0 joined, 2 no such run, or a part that is damaged, belongs to another run, or contradicts the history.

    For example:

      oneffect merge .oneffect/runs/latest part-farm_1.jsonl part-farm_2.jsonl
    """
    from harness.history.merge import merge as join

    directory = run_directory(run_dir, Path.cwd())
    added, there = join(directory / "history.jsonl", parts, _redaction(directory).value)
    typer.echo(f"{added} records joined, {there} skipped as present; judge the run: oneffect check {directory}")


def _redaction(directory: Path) -> Redaction:
    """Find the secrets to redact in the environment and in the run's system file, if it still exists."""
    from harness.files.load import load
    from harness.history.reader import read_header
    from harness.plan import where_it_runs
    from harness.redaction import Redaction
    from harness.system import System

    header = read_header(directory / "history.jsonl")
    addresses = header.get("addresses_path")
    try:
        system = load(Path(header["system_path"]), System)
        system = where_it_runs(system, Path(addresses) if addresses else None, header["plan"].get("variant"))
    except (KeyError, OneffectError) as error:
        message = f"errors in these parts may contain secrets that only the run's system file names: {error}"
        typer.echo(f"oneffect: {message}", err=True)
        return Redaction(None, os.environ)
    return Redaction(system, os.environ)
