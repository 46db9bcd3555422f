"""Faults that another terminal asks for: planned and applied as a scenario's are, and told of as they go.

One connection is one ``oneffect inject``. It sends a line, ``{"fault", "on", "for", "parameters"}``, and gets lines
back: ``{"told"}`` for whatever happens, at the end ``{"done": [{"id", "name", "target", "heals", "healed", "bit",
"failed"}]}``, or ``{"refused", "exit"}``. Anything more that it sends, and its end, heals early.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import ValidationError

from harness.errors import FaultError, OneffectError, PlanRefused
from harness.faults.apply import apply
from harness.faults.base import FaultContext
from harness.faults.plan import plan_line
from harness.plan import refuse_fault
from harness.scenario import FaultLine

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from harness.faults.base import PlannedFault
    from harness.history.recorder import Recorder, Scope
    from harness.session.live import LiveSystem

LONGEST: Final = 64 * 1024
"""Bytes of a line."""

_OWN: Final = ("fault", "on", "for", "at")


class Injections:
    """What is injected into one live system, until ``close``. ``say`` is for the terminal that waits.

    ``hide`` takes secrets out of what is said; the recorder has its own.
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
        """Take what comes in at a Unix socket that listens already."""
        self._server = await asyncio.start_unix_server(self._met, sock=listener, limit=LONGEST)

    async def close(self) -> None:
        """Take nothing more, and heal what is in place."""
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
        """Numbered on from those before; PlanRefused as for a scenario's row."""
        parameters: dict[str, Any] = asked.get("parameters") or {}
        if taken := [name for name in _OWN if name in parameters]:
            raise PlanRefused(f"{taken[0]} is no parameter of a fault; see: oneffect inject --help")
        row = {**parameters, "fault": asked.get("fault"), "on": asked.get("on"), "at": "0%"}
        if asked.get("for") is not None:
            row["for"] = asked["for"]
        try:
            line = FaultLine.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            reason = first.get("ctx", {}).get("error") or first["msg"]
            raise PlanRefused(f"{'.'.join(map(str, first['loc']))}: {reason}") from error
        planned = plan_line(line, self._live.system, self._seed, after=self._planned)
        for one in planned:
            refuse_fault(one, self._live.stack)
        self._planned += len(planned)
        return planned

    async def _inject(
        self, planned: list[PlannedFault], reader: asyncio.StreamReader, answer: Callable[..., None]
    ) -> None:
        def told(text: str) -> None:
            text = self._hide(text)
            self._say(text)
            answer(told=text)

        recorder = TellingRecorder(self._recorder, told)
        works = [asyncio.create_task(self._one(one, recorder)) for one in planned]
        early = asyncio.create_task(_anything(reader))
        every = asyncio.ensure_future(asyncio.wait(works))
        try:
            await asyncio.wait([every, early], return_when=asyncio.FIRST_COMPLETED)
            if not every.done():
                told("healing early, as asked")
        finally:
            for task in (*works, early):
                task.cancel()
            # Healing goes on while they are being cancelled.
            await asyncio.gather(*works, early, every, return_exceptions=True)
        answer(done=[_came_to(one, recorder.phases.get(one.id, set())) for one in planned])

    async def _one(self, planned: PlannedFault, recorder: Recorder) -> None:
        live = self._live
        context = FaultContext(planned, recorder, live.stack, live.kafka, Random(planned.seed), live.redis)
        # Its failure is recorded, and told, by then.
        with suppress(FaultError):
            await apply(context)


class TellingRecorder:
    """A recorder that also tells what faults do; ``phases`` is what each fault went through."""

    def __init__(self, inner: Recorder, tell: Callable[[str], None]) -> None:
        self._inner = inner
        self._tell = tell
        self.phases: dict[str, set[str]] = {}

    def now(self) -> int:
        """Nanoseconds since the history's start."""
        return self._inner.now()

    def record(self, op: str, phase: str, actor: str, **fields: object) -> int:
        """Record, and tell."""
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
        """An operation of the inner recorder's."""
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


def _came_to(one: PlannedFault, phases: set[str]) -> dict[str, object]:
    went_through = {phase: phase in phases for phase in ("healed", "bit", "failed")}
    return {"id": one.id, "name": one.fault.name, "target": one.target, "heals": one.fault.heals, **went_through}


async def _line(reader: asyncio.StreamReader) -> dict[str, Any]:
    try:
        asked = orjson.loads(await reader.readuntil(b"\n"))
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
        raise PlanRefused(f"what came in is no line of JSON: {error}") from error
    if not isinstance(asked, dict) or not isinstance(asked.get("parameters") or {}, dict):
        raise PlanRefused("what came in is no JSON object with fault, on, for and parameters")
    return asked


async def _anything(reader: asyncio.StreamReader) -> None:
    """Returns with the next byte, or the end."""
    with suppress(OSError):
        await reader.read(1)
