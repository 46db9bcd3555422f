"""Options shared by several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.stacks import TABLE as STACKS

SystemFile = Annotated[
    Path | None,
    typer.Option(
        "--system",
        metavar="FILE",
        help="The system file; default: the scenario's own, else the nearest system.yaml upward.",
    ),
]
Seed = Annotated[int | None, typer.Option(metavar="N", min=0, help="Seed of the plan; default: random.")]
Variant = Annotated[
    str | None, typer.Option("--variant", metavar="NAME", help="Run the system with this deliberate flaw.")
]
StackName = Annotated[
    str,
    typer.Option(
        "--stack", metavar="NAME", help=f"Where it runs: {', '.join(['auto', *STACKS][:-1])} or {[*STACKS][-1]}."
    ),
]
Addresses = Annotated[
    Path | None,
    typer.Option("--addresses", metavar="FILE", help="Addresses file of the external stack, which already runs."),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for run directories; default: .oneffect/runs.")]
RunDirectory = Annotated[str | None, typer.Argument(metavar="RUN_DIR", help="A run directory; default: the latest.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
