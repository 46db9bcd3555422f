"""``oneffect inject``: breaks something in the system that is up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from harness.errors import PlanRefused, StackError, UsageError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


def inject(
    fault: Annotated[str, typer.Argument(metavar="FAULT", help="What to do; see: oneffect list faults.")],
    parameters: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="The fault's parameters, as in a scenario.")
    ] = None,
    *,
    on: Annotated[
        str, typer.Option(metavar="TARGET", help="A link, replica, service, dependency or topic, as in a scenario.")
    ],
    lasts: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="How long, for a fault that heals: 500ms, 10s.")
    ] = None,
) -> None:
    """Break something in the system that is up in this folder or above, and wait until it is healed.

    Faults, targets and parameters are a scenario's. Ctrl-C heals early. Several may be in place at once: two on one
    link add up, two on one process take turns.

    Exit status: 0 done, and healed if it heals, 2 a wrong word, 4 nothing is up, or it could not be done.

    For example:

      oneffect inject net.down --on 'essay_lifecycle#1->redis' --for 10s

      oneffect inject net.latency --on 'file_service->kafka' --for 1m latency=200ms jitter=50ms

      oneffect inject service.kill --on essay_lifecycle --for 2s

      oneffect inject kafka.duplicate --on essays count=5
    """
    from harness.reports.terminal import console
    from harness.reports.untrusted import shown
    from harness.standing import find

    asked = {"fault": fault, "on": on, "for": lasts, "parameters": _parameters(parameters or [])}
    printer = console()

    def told(text: str) -> None:
        printer.print(shown(text, lines=True))

    with find(Path.cwd()).connected() as talk:
        done = asyncio.run(_asked(talk, asked, told))
    for one in done:
        told(f"{one['name']} on {one['target']}: {_ended(one)}")
    if any(one["failed"] for one in done):
        raise typer.Exit(StackError.exit_code)


def _parameters(words: Sequence[str]) -> dict[str, object]:
    """``key=value`` as a scenario's row would be read; UsageError for a word that is none."""
    from harness.files.document import plain

    found: dict[str, object] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"{word!r} is no parameter; write KEY=VALUE, for example latency=200ms")
        if key in found:
            raise UsageError(f"{key} is given twice; give it once")
        found[key] = plain(value, key)
    return found


async def _asked(talk: socket.socket, asked: dict[str, Any], told: Callable[[str], None]) -> list[dict[str, Any]]:
    """Ask for a fault and tell what comes of it until it is over: how each that it came to has ended."""
    from harness.commands.interrupt import SIGNALS

    reader, writer = await asyncio.open_unix_connection(sock=talk)
    writer.write(orjson.dumps(asked) + b"\n")
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        # The first asks for an early heal; the second leaves at once, and the end of the connection heals as well.
        loop.add_signal_handler(number, _early, writer, number)
    try:
        async for line in reader:
            answer = orjson.loads(line)
            if "told" in answer:
                told(answer["told"])
            elif "refused" in answer:
                kind = StackError if answer["exit"] == StackError.exit_code else PlanRefused
                raise kind(answer["refused"])
            else:
                done: list[dict[str, Any]] = answer["done"]
                return done
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
        writer.close()
    raise StackError("what was up has ended before the fault was over, and with it the fault")


def _early(writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(b"\n")
    signal.signal(number, signal.SIG_DFL)


def _ended(one: dict[str, Any]) -> str:
    if one["failed"]:
        return "failed, see above"
    bit = "bit" if one["bit"] else "never bit: nothing of the system's own met it; give it something to do"
    if not one["heals"]:
        return bit
    return f"healed; {bit}" if one["healed"] else "ended before its turn came; nothing was done"
