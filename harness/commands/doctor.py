"""``oneffect doctor``: what the native stack needs, and what of it is here."""

from __future__ import annotations

import platform
from importlib.metadata import version

import typer


def doctor() -> None:
    """Say what is there, in which version, what is missing, and the command that mends it.

    Exit status: 0 all is there, 4 something is missing.

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
    printer.print(table("", ("part", "version", "where", "mended by"), rows))
    printer.print("something is missing" if missing else "all is there")
    raise typer.Exit(4 if missing else 0)
