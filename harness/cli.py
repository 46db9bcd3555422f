"""The command ``oneffect``: composition root of the command line."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from typing import Annotated, Final, ParamSpec

import typer

from harness.commands.calibrate import calibrate
from harness.commands.check import check
from harness.commands.demo import demo
from harness.commands.doctor import doctor
from harness.commands.gate import gate
from harness.commands.init import init
from harness.commands.inject import inject
from harness.commands.interrupt import Interrupted
from harness.commands.listing import listing
from harness.commands.load import load
from harness.commands.merge import merge
from harness.commands.run import run
from harness.commands.schema import schema
from harness.commands.setup import setup
from harness.commands.show import show
from harness.commands.shrink import shrink
from harness.commands.sweep import sweep
from harness.commands.up import up
from harness.commands.validate import validate
from harness.commands.wire import wire
from harness.errors import OneffectError

P = ParamSpec("P")

OWN_MISTAKE: Final = 3
"""Exit code after an unforeseen error: what ran, if anything, is unknown."""

app: Final = typer.Typer(
    name="oneffect",
    help="Runs an event-driven system under real faults and proves that each event had exactly one effect.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Wrap a command: each error becomes one message and an exit code."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        from harness.reports.untrusted import shown

        try:
            command(*args, **kwargs)
        except OneffectError as error:
            typer.echo(f"oneffect: {shown(error, lines=True)}", err=True)
            raise typer.Exit(error.exit_code) from None
        except Interrupted as error:
            typer.echo(f"oneffect: {shown(error)}", err=True)
            raise typer.Exit(error.exit_code) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception:  # noqa: BLE001 - a bug of this program must not look like a verdict
            typer.echo(f"oneffect: this is a bug in oneffect itself\n{traceback.format_exc()}", err=True)
            raise typer.Exit(OWN_MISTAKE) from None

    return guarded


def _version(*, requested: bool) -> None:
    if requested:
        typer.echo(f"oneffect {version('oneffect')}")
        raise typer.Exit


@app.callback()
def oneffect(
    *,
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=lambda value: _version(requested=value), is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Runs an event-driven system under real faults and proves that each event had exactly one effect."""


app.command("init")(_guarded(init))
app.command("validate")(_guarded(validate))
app.command("calibrate")(_guarded(calibrate))
app.command("setup")(_guarded(setup))
app.command("doctor")(_guarded(doctor))
app.command("run")(_guarded(run))
app.command("load")(_guarded(load))
app.command("merge")(_guarded(merge))
app.command("check")(_guarded(check))
app.command("show")(_guarded(show))
app.command("wire")(_guarded(wire))
app.command("shrink")(_guarded(shrink))
app.command("sweep")(_guarded(sweep))
app.command("list")(_guarded(listing))
app.command("schema")(_guarded(schema))
app.command("demo")(_guarded(demo))
app.command("gate")(_guarded(gate))
app.command("up")(_guarded(up))
app.command("inject")(_guarded(inject))


def main() -> None:
    """Run the command line."""
    try:
        app()
    except KeyboardInterrupt:
        # Before anything was started.
        sys.exit(130)


if __name__ == "__main__":
    main()
