"""Faults requested by another terminal: planned and applied like a scenario's, with progress reported back.

One connection serves one ``oneffect inject``. The client sends a line, ``{"fault", "on", "for", "parameters"}``, and
receives lines: ``{"told"}`` for each event, and at the end ``{"done": [{"id", "name", "target", "heals", "healed",
"bit", "failed"}]}`` or ``{"refused", "exit"}``. If it sends anything more, or disconnects, the faults heal early.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any, Final

import orjson

from harness.errors import FaultError, OneffectError, PlanRefused
from harness.faults.apply import apply
from harness.faults.base import FaultContext, PlannedFault
from harness.hold.asked import plan_asked

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from harness.history.recorder import Recorder, Scope
    from harness.session.live import LiveSystem

LONGEST: Final = 64 * 1024
"""Longest line, in bytes."""


class Injections:
    """Faults injected into one live system, until ``close``. ``say`` prints to the terminal that holds it up.

    ``hide`` redacts messages; the recorder redacts its own records.
    """

    def __init__(
        self,
        live: LiveSystem,
        recorder: Recorder,
        *,
        seed: int,
        say: Callable[[str], None],
        hide: Callable[[str], str],
    ) -> None:
        self._live, self._recorder, self._seed = live, recorder, seed
        self._say, self._hide = say, hide
        self._planned = 0
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    async def open(self, listener: socket.socket) -> None:
        """Accept connections on a Unix socket that already listens."""
        self._server = await asyncio.start_unix_server(self._met, sock=listener, limit=LONGEST)

    async def close(self) -> None:
        """Accept nothing more, and heal the faults in place."""
        if self._server is not None:
            self._server.close()
        talks = list(self._talks)
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.ensure_future(self._talk(reader, writer))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def answer(**words: object) -> None:
            if not writer.is_closing():
                writer.write(orjson.dumps(words) + b"\n")

        try:
            planned = self._plan(await _line(reader))
            await self._inject(planned, reader, answer)
        except OneffectError as refused:
            reason = self._hide(str(refused))
            self._say(f"refused: {reason}")
            answer(refused=reason, exit=refused.exit_code)
        finally:
            with suppress(OSError):
                await writer.drain()
            writer.close()

    def _plan(self, asked: dict[str, Any]) -> list[PlannedFault]:
        """Plan a requested fault, numbered on from earlier ones; PlanRefused as for a scenario's row."""
        if "when" in (asked.get("parameters") or {}):
            raise PlanRefused(
                "when: a fault that is injected from a terminal acts at once; write a scenario, or a block in Python"
            )
        planned = plan_asked(
            asked.get("fault"),
            asked.get("on"),
            asked.get("for"),
            asked.get("parameters") or {},
            stack=self._live.stack,
            system=self._live.system,
            seed=self._seed,
            after=self._planned,
        )
        self._planned += len(planned)
        return planned

    async def _inject(
        self, planned: list[PlannedFault], reader: asyncio.StreamReader, answer: Callable[..., None]
    ) -> None:
        def tell(text: str) -> None:
            text = self._hide(text)
            self._say(text)
            answer(told=text)

        recorder = TellingRecorder(self._recorder, tell)
        works = [asyncio.create_task(self._apply(fault, recorder)) for fault in planned]
        early = asyncio.create_task(_anything(reader))
        every = asyncio.ensure_future(asyncio.wait(works))
        try:
            await asyncio.wait([every, early], return_when=asyncio.FIRST_COMPLETED)
            if not every.done():
                tell("healing early, as requested")
        finally:
            for task in (*works, early):
                task.cancel()
            # Cancelled faults still heal: wait for that.
            await asyncio.gather(*works, early, every, return_exceptions=True)
        answer(done=[_came_to(fault, recorder.phases.get(fault.id, set())) for fault in planned])

    async def _apply(self, planned: PlannedFault, recorder: Recorder) -> None:
        live = self._live
        context = FaultContext(planned, recorder, live.stack, live.kafka, Random(planned.seed), live.redis)
        # The failure is already recorded and reported.
        with suppress(FaultError):
            await apply(context)


class TellingRecorder:
    """A recorder that also reports what faults do; ``phases`` holds each fault's phases so far."""

    def __init__(self, inner: Recorder, tell: Callable[[str], None]) -> None:
        self._inner = inner
        self._tell = tell
        self.phases: dict[str, set[str]] = {}

    def now(self) -> int:
        """Nanoseconds since the history's start."""
        return self._inner.now()

    def record(self, op: str, phase: str, actor: str, **fields: object) -> int:
        """Record and report."""
        index = self._inner.record(op, phase, actor, **fields)
        if op == "fault":
            self.phases.setdefault(str(fields["fault"]), set()).add(phase)
            self._tell(f"{fields['fault']} {fields['name']} on {fields['target']}: {_said(phase, fields)}")
        elif op == "service":
            status = fields.get("exit_status")
            ended = f", exit status {status}" if status is not None else ""
            self._tell(f"{actor.removeprefix('fault:')} {fields['name']}: {phase}{ended}")
        return index

    def operation(self, op: str, actor: str, **fields: object) -> Scope:
        """Open an operation of the inner recorder."""
        return self._inner.operation(op, actor, **fields)


def _said(phase: str, fields: dict[str, object]) -> str:
    evidence = fields.get("evidence")
    if phase == "failed":
        return f"failed: {fields.get('error')}"
    if phase == "injected":
        given = orjson.dumps(fields.get("parameters")).decode()
        return f"injected {given}" if given != "{}" else "injected"
    if not isinstance(evidence, dict):
        return phase
    if evidence.get("early"):
        return f"{phase} early"
    return f"{phase}: {evidence['what']}" if "what" in evidence else phase


def _came_to(planned: PlannedFault, phases: set[str]) -> dict[str, object]:
    went_through = {phase: phase in phases for phase in ("healed", "bit", "failed")}
    return {
        "id": planned.id,
        "name": planned.fault.name,
        "target": planned.target,
        "heals": planned.fault.heals,
        **went_through,
    }


async def _line(reader: asyncio.StreamReader) -> dict[str, Any]:
    try:
        asked = orjson.loads(await reader.readuntil(b"\n"))
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
        raise PlanRefused(f"the request is not a line of JSON: {error}") from error
    if not isinstance(asked, dict) or not isinstance(asked.get("parameters") or {}, dict):
        raise PlanRefused("the request is not a JSON object with fault, on, for and parameters")
    return asked


async def _anything(reader: asyncio.StreamReader) -> None:
    """Wait for the next byte, or the end of the connection."""
    with suppress(OSError):
        await reader.read(1)
