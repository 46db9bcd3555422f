"""``oneffect doctor``: lists what the stacks need, and what is missing."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version

import typer

Row = tuple[str, str, str, str]


def doctor() -> None:
    """List what is installed, in which version, what is missing, and the command that fixes it.

    Exit status: 0 everything for the native stack is installed, 4 something is missing. Docker may be missing: only
    --stack docker needs it.

    For example:

      oneffect doctor
    """
    from harness.reports.terminal import console, table
    from harness.stacks.native.parts import parts

    rows = [
        ("python", platform.python_version(), platform.python_implementation(), ""),
        ("oneffect", version("oneffect"), "", ""),
    ]
    missing = False
    for part in parts():
        missing |= part.path is None
        rows.append((part.name, part.version, str(part.path or f"missing: {part.missing}"), part.mend))
    printer = console()
    printer.print(table("", ("part", "version", "where", "fixed by"), rows))
    printer.print("something is missing" if missing else "nothing is missing")
    printer.print(table("for --stack docker", ("part", "version", "where", "fixed by"), list(_docker())))
    raise typer.Exit(4 if missing else 0)


def _docker() -> Iterator[Row]:
    from harness.errors import StackError
    from harness.stacks.docker.engine import Engine
    from harness.stacks.docker.stack import IMAGES

    try:
        engine = Engine()
        yield "docker engine", engine.version, engine.command, ""
        for image in IMAGES.values():
            name, _, tag = image.rpartition(":")
            there = engine.has(image)
            yield name, tag, "here" if there else "missing", "" if there else f"docker pull {image}"
    except StackError as error:
        what, _, mend = str(error).partition("; ")
        yield "docker engine", "", f"missing: {what}", mend
