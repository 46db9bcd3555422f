"""``oneffect up``: holds a system up to look at, to load from outside, and to break by hand."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated

import typer

from harness.commands.options import Addresses, Out, Seed, StackName
from harness.commands.run import drawn
from harness.session.directory import out_folder

if TYPE_CHECKING:
    from harness.announcement import Announcement
    from harness.reports.progress import Line


def up(  # noqa: PLR0913, PLR0917 - one parameter for each option
    system: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The system file; default: the nearest system.yaml upward.")
    ] = None,
    variant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Start the system with this deliberate flaw.")
    ] = None,
    stack: StackName = "auto",
    addresses: Addresses = None,
    seed: Seed = None,
    out: Out = None,
) -> None:
    """Start a system with its brokers, stores and proxies, and hold it until Ctrl-C.

    It prints addresses and links, and writes them to .oneffect/up.json. Break something from another terminal with
    oneffect inject; this one shows what happens. At the end, only the history and the logs remain.

    Exit status: 0 ended by Ctrl-C or SIGTERM, 2 a wrong argument or file, 4 it could not start, or a system is already up here.

    For example:

      oneffect up

      oneffect up --system reference_impl/system.yaml --variant setnx_only
    """
    from harness.commands.interrupt import Interrupted, until_interrupted
    from harness.hold.up import up as hold
    from harness.plan import plan_system
    from harness.reports.progress import Board
    from harness.reports.terminal import console

    here = Path.cwd()
    plan = plan_system(system, here, variant=variant, stack=stack, seed=drawn(seed), addresses=addresses)
    folder = out_folder(out)
    with ExitStack() as starting:
        line = starting.enter_context(Board(console(stderr=True), time.monotonic)).line(plan.system.name)
        terminal = _Terminal(line, starting)
        try:
            until_interrupted(hold(plan, here=here, out=folder, terminal=terminal), None)
        except Interrupted:
            if not terminal.is_up:
                raise
            terminal.say("everything is stopped")


class _Terminal:
    """Shows progress during the start, then the addresses and a line for each event."""

    def __init__(self, line: Line, starting: ExitStack) -> None:
        from harness.reports.terminal import console

        self._line = line
        self._starting = starting
        self._printer = console()
        self.is_up = False

    def step(self, text: str) -> None:
        self._line.step(text)

    def note(self, text: str) -> None:
        self._line.note(text)

    def up(self, announcement: Announcement, directory: Path) -> None:
        from harness.reports.terminal import table

        self.is_up = True
        self._line.done()
        self._starting.close()
        say = self._printer.print
        direct = {**announcement.dependencies, **announcement.services}
        say(table("past the proxies", ["name", "address"], list(direct.items())))
        say("")
        rows = [
            (name, address, f"http://{proxy.api}/proxies/{proxy.name}")
            for name, address in announcement.links.items()
            for proxy in [announcement.proxies[name]]
        ]
        say(table("links", ["name", "proxy", "at its Toxiproxy"], rows))
        say("")
        if announcement.front_door:
            say(f"front door: {announcement.front_door}")
        say(f"history and logs: {directory}")
        say("all of this: .oneffect/up.json")
        if announcement.stack != "external":
            say("as an addresses file, for --stack external: .oneffect/up.addresses.yaml")
        if announcement.links:
            words = ["oneffect", "inject", "net.down", "--on", next(iter(announcement.links)), "--for", "10s"]
            say(f"break something from another terminal: {join(words)}")
        say(
            f"up: run {announcement.run} on the {announcement.stack} stack, process {announcement.pid}; Ctrl-C ends it"
        )

    def say(self, text: str) -> None:
        from harness.reports.untrusted import shown as fit

        self._printer.print(f"{datetime.now(UTC).astimezone():%H:%M:%S}  {fit(text, lines=True)}")
