"""Sends uploads through the user's own client program."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from harness.clients import commands
from harness.load.sending import Phase, Sent, Upload

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.clients.line_program import LineProgram

_SHOWN: Final = 200
"""Characters of an answer that a message quotes."""

SILENT: Final = 240.0
"""Seconds without a line after which a program is silent: longer than a fault may keep a system from answering."""

_ENDS_WITHIN: Final = 30.0
"""Seconds that a program may take to exit after the end of its input."""

_READ_WITHIN: Final = 2.0
"""Seconds to read its last lines then, and for a silent program to exit."""

_GLANCE: Final = 0.1
"""Seconds to read pending output before a program is declared silent."""


def _absent(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Treat an empty text as absent: some encoders write every field."""
    return None if value == "" else value


Digest = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{64}$", to_lower=True)]


class _Answer(BaseModel):
    """One line that the program prints."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    id: str
    ok: bool | None
    error: str | None = None
    blob: Annotated[str | None, BeforeValidator(_absent)] = None
    sha256: Annotated[Digest | None, BeforeValidator(_absent)] = None


class ClientProgram:
    """A program that gets one line per upload, and answers each with a line that names the upload.

    ``documents``: whether its lines hold the documents, so that their raw bytes are known. An upload waits for its answer
    until no line has gone into the program or come out of it for ``silent`` seconds: a slow one is not silent.
    """

    def __init__(self, program: LineProgram, *, documents: bool) -> None:
        self._program, self._documents = program, documents
        self.silent = SILENT
        """Seconds without a line after which the program is silent."""
        self._giving = asyncio.Lock()
        self._waiting: dict[str, asyncio.Future[_Answer]] = {}
        self._given_up: set[str] = set()
        """Uploads that were given up because the program fell silent."""
        self._moved = 0.0
        self._reading: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._finishing = False

    async def send(self, upload: Upload, begun: Callable[[], object]) -> Sent:
        """Give the program one upload, and wait for its answer; ``begun`` is called once the line was given.

        StackError if the program cannot be started, ends, or answers in a form that cannot be understood.
        """
        clock = asyncio.get_running_loop()
        if not self._waiting:
            self._moved = clock.time()  # the program was idle until now
        answer = self._waiting[upload.id] = clock.create_future()
        giving = asyncio.create_task(self._give(upload.body, begun))
        try:
            if not (await self._unless_silent(giving) and await self._unless_silent(answer)):
                self._given_up.add(upload.id)
                silence = f"no line went into the program or came out of it for {self.silent:g} s"
                return Sent("unknown", error=f"there is no answer, and {silence}")
            return self._sent(answer.result())
        finally:
            giving.cancel()
            del self._waiting[upload.id]
            if answer.done() and not answer.cancelled():
                answer.exception()  # retrieved, so that asyncio does not warn

    async def close(self) -> None:
        """Close the program's input and let it exit; StackError if it fails now, or answers for an upload twice."""
        self._finishing = True
        try:
            status = await self._program.finish(_READ_WITHIN if self._given_up else _ENDS_WITHIN)
            if self._reading is not None:
                await asyncio.wait([self._reading], timeout=_READ_WITHIN)
                if status is None and not self._given_up:
                    self._failure = self._program.failure(
                        f"it did not end within {_ENDS_WITHIN:g} s of its input's end; end once there is no more to read"
                    )
        finally:
            await self.end()
        if self._failure is not None:
            raise self._failure

    async def end(self) -> None:
        """End the program."""
        try:
            if self._reading is not None:
                self._reading.cancel()
                await asyncio.wait([self._reading])
        finally:
            await self._program.close()

    async def _unless_silent(self, awaited: asyncio.Future[Any]) -> bool:
        """Wait for a result, and raise what it raises; False if the program falls silent before."""
        clock = asyncio.get_running_loop()
        while not awaited.done():
            left = self._moved + self.silent - clock.time()
            # Wait even past the deadline: the harness itself may have stalled while the answer arrived.
            await asyncio.wait([awaited], timeout=max(left, _GLANCE))
            if not awaited.done() and self._moved + self.silent <= clock.time():
                return False
        awaited.result()
        return True

    def _sent(self, said: _Answer) -> Sent:
        phase: Phase = "unknown" if said.ok is None else "ok" if said.ok else "fail"
        if phase == "ok" and said.blob is not None and said.sha256 is None and not self._documents:
            raise self._program.failure(
                f"its answer for {said.id} names a blob, but not the sha256 of its bytes, which only the program knows"
            )
        error = (said.error or "")[: commands.TOLD]
        return Sent(phase, error=error, raw=said.blob if phase == "ok" else None, sha256=said.sha256)

    async def _give(self, line: bytes, begun: Callable[[], object]) -> None:
        async with self._giving:
            if self._failure is not None:
                raise self._failure
            await self._program.give(line)
            begun()
            self._moved = asyncio.get_running_loop().time()
            self._reading = self._reading or asyncio.create_task(self._read())

    async def _read(self) -> None:
        """Hand each answer to its waiter until the program ends or fails, then the failure to all waiters."""
        try:
            while (line := await self._program.line()) is not None:
                self._moved = asyncio.get_running_loop().time()
                self._take(line)
            self._check_end(await self._program.status())
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is raised by those who wait
            self._failure = failure
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(failure)

    def _check_end(self, status: int | None) -> None:
        if not (self._finishing and status == 0):
            raise self._program.failure(
                "it closed its standard output" if status is None else f"it ended with status {status}"
            )

    def _take(self, line: bytes) -> None:
        try:
            said = _Answer.model_validate_json(line)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(map(str, problem["loc"]))
            why = f"{field}: {problem['msg']}" if field else problem["msg"]
            raise self._program.failure(
                f"its answer cannot be understood ({why}): {line[:_SHOWN].decode(errors='replace')}; print one line of JSON "
                'for each line that it reads, such as {"id": "…", "ok": true}, and all else on standard error'
            ) from None
        answer, named = self._waiting.get(said.id), said.id[:_SHOWN]
        if answer is not None and not answer.done():
            answer.set_result(said)
        elif said.id not in self._given_up:
            raise self._program.failure(
                f"it answered for {named}, which it was not given, or has answered for before; print one answer for each line"
            )
        elif said.ok:
            # Ignoring it would hide that this upload must have an outcome.
            raise self._program.failure(
                f"it said ok for {named} only after {self.silent:g} s without a line; print each answer at once (flush it), "
                "and answer null for what takes so long"
            )
