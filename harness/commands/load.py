"""``oneffect load``: runs a scenario under the load of Locust's users, and judges it like any other run."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from harness.commands.options import Addresses, Out, Seed, StackName, SystemFile, Variant
from harness.commands.places import scenario, shown, there
from harness.commands.run import EXIT, drawn, reported, tell_roles
from harness.errors import FileError, UsageError
from harness.session.directory import out_folder

if TYPE_CHECKING:
    from harness.load.locust_load import Users
    from harness.plan import Plan
    from harness.reports.case import Case
    from harness.reports.progress import Board

_LISTING: Final = 60.0
"""Seconds within which Locust must read a locustfile."""

_LINES: Final = 6


def load(  # noqa: PLR0913, PLR0917 - one parameter for each option
    name: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="A scenario file, or the name of one in scenarios/.")
    ],
    options: Annotated[
        list[str] | None, typer.Argument(metavar="-- LOCUST_OPTION", help="Further options for Locust itself.")
    ] = None,
    users: Annotated[int, typer.Option(metavar="N", min=1, help="How many users.")] = 20,
    spawn_rate: Annotated[float, typer.Option(metavar="N", min=0.01, help="How many of them start a second.")] = 10.0,
    duration: Annotated[str, typer.Option(metavar="TIME", help="How long they stay: 90s, 5m.")] = "1m",
    locustfile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What they do; default: locustfile.py beside the scenario.")
    ] = None,
    web: Annotated[
        int | None, typer.Option(metavar="PORT", min=1, max=65535, help="Show Locust's page on 127.0.0.1:PORT.")
    ] = None,
    system: SystemFile = None,
    variant: Variant = None,
    seed: Seed = None,
    stack: StackName = "auto",
    addresses: Addresses = None,
    out: Out = None,
) -> None:
    """Run a scenario's faults under the load of Locust's users, and judge the recorded history.

    The users replace the scenario's own uploads; a fault at 25% comes after a quarter of the duration. While a fault is
    in place, the load goes on past its duration. Latency counts from when a request was due.

    Exit status: 0 valid, 1 invalid, 2 a wrong argument or file, 3 unknown, 4 the stack or Locust could not start,
    130 interrupted.

    For example:

      oneffect load redelivery --users 40 --spawn-rate 20 --duration 1m

      oneffect load network --users 200 --duration 5m --web 8089 -- --processes 2

      oneffect load ./mine.yaml --locustfile ./locustfile.py --seed 41
    """
    from harness.commands.interrupt import until_interrupted
    from harness.plan import make_plan
    from harness.reports.progress import Board
    from harness.reports.terminal import console

    path = scenario(name, Path.cwd(), system)
    locust_users = _users(path, users, spawn_rate, duration, locustfile, web, options or [])
    seed = drawn(seed)
    plan = make_plan(
        path, system_path=system, variant=variant, seed=seed, stack=stack, addresses=addresses, users=locust_users
    )
    _try(locust_users)
    console().print(f"seed {seed}")
    tell_roles(plan)
    folder = out_folder(out)
    with Board(console(stderr=True), time.monotonic) as board:
        case = until_interrupted(_run(plan, folder, board), folder)
    raise typer.Exit(EXIT[case.verdict])


def _users(  # noqa: PLR0913, PLR0917 - as above
    path: Path, count: int, rate: float, duration: str, file: Path | None, web: int | None, options: list[str]
) -> Users:
    from harness.load.locust_load import Users
    from harness.units import parse_duration

    try:
        seconds = parse_duration(duration)
    except ValueError as error:
        raise UsageError(f"--duration: {error}") from None
    if seconds <= 0:
        raise UsageError(f"--duration {duration}: must be longer than 0; write 90s or 5m")
    file = file or path.parent / "locustfile.py"
    if not there(file):
        raise FileError("there is no such file; name a locustfile: --locustfile FILE", path=str(file))
    if web is not None:
        _free(web)
    return Users(count, rate, seconds, shown(file.absolute()), web, tuple(options))


def _free(port: int) -> None:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            raise UsageError(
                f"--web {port}: 127.0.0.1:{port} is not available: {error.strerror}; name another port"
            ) from error


def _try(users: Users) -> None:
    """Have Locust read its file before anything starts, to report a broken one at once."""
    from harness.load.locust_load import environment

    if find_spec("locust") is None:
        raise UsageError("Locust is not installed here; run: pip install 'oneffect[load]'")
    words = [sys.executable, "-m", "locust", "--locustfile", str(users.file), "--list", *users.options]
    try:
        done = subprocess.run(
            words,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=_LISTING,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise FileError(f"Locust did not read it within {_LISTING:g} s", path=str(users.file)) from None
    if done.returncode != 0:
        said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-_LINES:])
        raise FileError(f"Locust rejects it, or one of its options:\n{said}", path=str(users.file))
    if not done.stdout.partition("Available Users:")[2].strip():
        raise FileError("has no users; write a subclass of harness.load.locust_user.Uploader", path=str(users.file))


async def _run(plan: Plan, out: Path, board: Board) -> Case:
    from harness.session.stacks import Stacks

    async with Stacks(out) as stacks:
        return await reported(plan, stacks, board)
