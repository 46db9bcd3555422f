"""``oneffect inject``: breaks something in the system that is up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from harness.errors import PlanRefused, StackError, UsageError

if TYPE_CHECKING:
    import socket


def inject(
    fault: Annotated[str, typer.Argument(metavar="FAULT", help="The fault to inject; see: oneffect list faults.")],
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
    """Break something in the system that is up in this folder or above, and wait until it heals.

    Faults, targets and parameters are written as in a scenario. Ctrl-C heals early. Several faults may be in place at
    once: two on one link add up, two on one process take turns.

    Exit status: 0 done, and healed if it heals, 2 a wrong argument, 4 nothing is up, or the fault failed.

    For example:

      oneffect inject net.down --on 'essay_lifecycle#1->redis' --for 10s

      oneffect inject net.latency --on 'file_service->kafka' --for 1m latency=200ms jitter=50ms

      oneffect inject service.kill --on essay_lifecycle --for 2s

      oneffect inject kafka.duplicate --on essays count=5
    """
    from harness.announcement import find
    from harness.reports.terminal import console
    from harness.reports.untrusted import shown

    asked = {"fault": fault, "on": on, "for": lasts, "parameters": _parameters(parameters or [])}
    printer = console()

    def tell(text: str) -> None:
        printer.print(shown(text, lines=True))

    with find(Path.cwd()).connected() as talk:
        done = asyncio.run(_asked(talk, asked, tell))
    for fault_done in done:
        tell(f"{fault_done['name']} on {fault_done['target']}: {_ended(fault_done)}")
    if any(fault_done["failed"] for fault_done in done):
        raise typer.Exit(StackError.exit_code)


def _parameters(words: Sequence[str]) -> dict[str, object]:
    """Read ``key=value`` words as in a scenario's row; UsageError for any other word."""
    from harness.files.document import plain

    parameters: dict[str, object] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"{word!r} is not a parameter; write KEY=VALUE, for example latency=200ms")
        if key in parameters:
            raise UsageError(f"{key} is given twice; give it once")
        parameters[key] = plain(value, key)
    return parameters


async def _asked(talk: socket.socket, asked: dict[str, Any], tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Request a fault, report its progress until it is over, and return how it ended on each target."""
    from harness.commands.interrupt import SIGNALS

    reader, writer = await asyncio.open_unix_connection(sock=talk)
    writer.write(orjson.dumps(asked) + b"\n")
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        # The first signal asks for an early heal; the second exits at once, and the closed connection heals as well.
        loop.add_signal_handler(number, _early, writer, number)
    try:
        async for line in reader:
            answer = orjson.loads(line)
            if "told" in answer:
                tell(answer["told"])
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
    raise StackError("the system that was up ended before the fault was over, which ended the fault too")


def _early(writer: asyncio.StreamWriter, number: int) -> None:
    writer.write(b"\n")
    signal.signal(number, signal.SIG_DFL)


def _ended(done: dict[str, Any]) -> str:
    if done["failed"]:
        return "failed, see above"
    bit = "bit" if done["bit"] else "never bit: the system's own traffic did not meet it; give the system some work"
    if not done["heals"]:
        return bit
    return f"healed; {bit}" if done["healed"] else "ended before its turn came; nothing was done"
