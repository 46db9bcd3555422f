"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SystemFile = Annotated[
    Path | None,
    typer.Option(
        "--system",
        metavar="FILE",
        help="The system file; without it the scenario's own, else the nearest system.yaml upward.",
    ),
]
Seed = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="What the plan is drawn from; random when not given.")
]
Variant = Annotated[
    str | None, typer.Option("--variant", metavar="NAME", help="Run the system with this deliberate flaw.")
]
StackName = Annotated[
    str, typer.Option("--stack", metavar="NAME", help="Where it runs: auto, native, docker or external.")
]
Addresses = Annotated[
    Path | None,
    typer.Option("--addresses", metavar="FILE", help="The addresses of the external stack, which runs already."),
]
Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where run directories go; .oneffect/runs when not given.")
]
RunDirectory = Annotated[
    str | None, typer.Argument(metavar="RUN_DIR", help="A run directory; the latest when not given.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
