"""``oneffect init``: writes a system to start from: one that runs as it is, or a draft from a compose file."""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from harness.errors import FileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

WRITES: Final = {
    "system.yaml": "the system, each field with a comment",
    "shop.py": "its front door",
    "billing.py": "its consumer",
    "delivered-again.yaml": "a scenario: records are delivered again",
}
"""File name -> what the file is."""

PUBLISHED: Final = {
    "system.yaml": "the system, each field with a comment; oneffect publishes its events",
    "billing.py": "its consumer",
    "delivered-again.yaml": "a scenario: records are delivered again",
}
"""The same for a consumer without a front door."""


def init(
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR", help="The folder to write to; it is made if need be. Default, with an option: this one."
        ),
    ] = None,
    *,
    no_front_door: Annotated[
        bool, typer.Option("--no-front-door", help="Write a consumer alone, whose events oneffect publishes.")
    ] = False,
    compose: Annotated[
        Path | None,
        typer.Option("--from-compose", metavar="FILE", help="Write a system file from this compose file."),
    ] = None,
    external: Annotated[
        Path | None,
        typer.Option(
            "--from-external",
            metavar="SYSTEM",
            help="Write an addresses file for this running system; with --from-compose, fill in the ports it publishes.",
        ),
    ] = None,
) -> None:
    """Write a small system that runs as it stands: a system file, two services in Python, and a scenario.

    Run it: the verdict is valid. Delete the line of billing.py marked as the dedupe line, and it is invalid. Then put your
    own services in place of these. With --no-front-door the consumer stands alone, and oneffect publishes the events that it
    reads. Nothing is overwritten.

    If your services are in a compose file, --from-compose turns it into a system.yaml: its brokers, stores and services,
    with addresses replaced by placeholders. Whatever a compose file cannot say becomes a TODO with an example; `oneffect
    validate` lists each by line. --from-external makes addresses.yaml the same way.

    For example:

      oneffect init first

      oneffect init first --no-front-door

      oneffect init --from-compose docker-compose.yml

      oneffect init --from-external system.yaml
    """
    if no_front_door and (compose is not None or external is not None):
        raise UsageError("--no-front-door writes a system of its own; leave out --from-compose and --from-external")
    if external is not None:
        _begun(directory or Path(), "addresses.yaml", *_addresses(external, compose))
    elif compose is not None:
        _begun(directory or Path(), "system.yaml", *_system(compose))
    elif directory is None:
        raise UsageError(
            "name the folder to write to, for example `oneffect init first`, or give --from-compose FILE"
        )
    else:
        writes = PUBLISHED if no_front_door else WRITES
        sources = {name: "published.yaml" if no_front_door and name == "system.yaml" else name for name in writes}
        _write(
            directory, {name: (files("harness.starter") / source).read_bytes() for name, source in sources.items()}
        )
        for name, what in writes.items():
            typer.echo(f"{directory / name}  {what}")
        typer.echo(f"run it: oneffect run {shlex.quote(str(directory / 'delivered-again.yaml'))}")


def _system(compose: Path) -> tuple[str, str, str]:
    """Return a system file's text, what it is, and further arguments for its validation."""
    from harness.compose.draft import draft
    from harness.compose.file import read
    from harness.compose.written import written

    return written(draft(read(compose)), compose.name), f"the system that {compose} describes", ""


def _addresses(path: Path, compose: Path | None) -> tuple[str, str, str]:
    """Return an addresses file's text, what it is, and further arguments for its validation."""
    from harness.compose.draft import draft
    from harness.compose.external import published, written
    from harness.compose.file import read
    from harness.files import load
    from harness.system import System

    system = load(path, System)
    known = published(made := read(compose), draft(made)) if compose is not None else {}
    return written(system, path.name, known), f"where the parts of {path} are", f" --system {shlex.quote(str(path))}"


def _begun(directory: Path, name: str, text: str, what: str, more: str) -> None:
    """Write one file, and say what is left to be written in it."""
    from harness.files.document import parse
    from harness.files.todo import todos

    _write(directory, {name: text.encode()})
    path = directory / name
    count = len(list(todos(parse(path).value)))
    typer.echo(f"{path}  {what}{f'; {count} TODO' if count else ''}")
    typer.echo(f"go on: oneffect validate {shlex.quote(str(path))}{more}")


def _write(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Write new files, all or none; FileError if one is there already or cannot be written."""
    _refuse_what_is_there(directory, list(contents))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            with (directory / name).open("xb") as file:
                file.write(content)
    except OSError as error:
        raise FileError(
            f"cannot be written: {error.strerror}; name another folder", path=str(error.filename)
        ) from error


def _refuse_what_is_there(directory: Path, names: list[str]) -> None:
    """Raise FileError for the first file that already exists, before anything is written."""
    try:
        there = [name for name in names if (directory / name).is_symlink() or (directory / name).exists()]
    except OSError as error:
        raise FileError(f"cannot be looked at: {error.strerror}; name another folder", path=str(directory)) from error
    if there:
        raise FileError(
            f"is there already, and init overwrites nothing{_others(there)}; name another folder",
            path=str(directory / there[0]),
        )


def _others(there: list[str]) -> str:
    return f" (nor {', '.join(there[1:])})" if there[1:] else ""
