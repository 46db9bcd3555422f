"""``oneffect init``: writes a system that runs as it stands, to be replaced by one's own part by part."""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final

import typer

from harness.errors import FileError

WRITES: Final = {
    "system.yaml": "the system, each field with a comment",
    "shop.py": "its front door",
    "billing.py": "its consumer",
    "delivered-again.yaml": "a scenario: records are delivered again",
}
"""What is written, and what it is."""


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write to; it is made if need be.")],
) -> None:
    """Write a small system that runs as it stands: a system file, two services in Python, and a scenario.

    Run it, see it come out valid, delete the line of billing.py that says so, and see it come out invalid. Then put your
    own services in place of these. Nothing is overwritten.

    For example:

      oneffect init first
    """
    _refuse_what_is_there(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in WRITES:
            with (directory / name).open("xb") as file:
                file.write((files("harness.starter") / name).read_bytes())
    except OSError as error:
        raise FileError(
            f"cannot be written: {error.strerror}; name another folder", path=str(error.filename)
        ) from error
    for name, what in WRITES.items():
        typer.echo(f"{directory / name}  {what}")
    typer.echo(f"run it: oneffect run {shlex.quote(str(directory / 'delivered-again.yaml'))}")


def _refuse_what_is_there(directory: Path) -> None:
    """Raise FileError for the first file that is there already: nothing is written then."""
    try:
        there = [name for name in WRITES if (directory / name).is_symlink() or (directory / name).exists()]
    except OSError as error:
        raise FileError(f"cannot be looked at: {error.strerror}; name another folder", path=str(directory)) from error
    if there:
        raise FileError(
            f"is there already, and init overwrites nothing{_others(there)}; name another folder",
            path=str(directory / there[0]),
        )


def _others(there: list[str]) -> str:
    return f" (nor {', '.join(there[1:])})" if there[1:] else ""
