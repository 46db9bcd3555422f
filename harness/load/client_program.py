"""Sends uploads by a program of the user's that is the system's client."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from harness.load.sending import Sent

if TYPE_CHECKING:
    from harness.clients.line_program import LineProgram
    from harness.load.sending import Upload

_SHOWN: Final = 200
"""Characters of an answer that a message quotes."""

_REMEMBERED: Final = 100_000
"""Uploads that nobody waits for any more whose answers may still come."""


class _Answer(BaseModel):
    """One line that the program prints."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    id: str
    ok: bool | None
    error: str = ""
    blob: str | None = None
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None


class ClientProgram:
    """A program that gets one line an upload, and answers each with a line that names the upload.

    ``documents``: whether its lines hold the documents, so that their raw bytes are known.
    """

    def __init__(self, program: LineProgram, *, documents: bool) -> None:
        self._program, self._documents = program, documents
        self._giving = asyncio.Lock()
        self._waiting: dict[str, asyncio.Future[_Answer]] = {}
        self._late: dict[str, None] = {}
        """Uploads whose answers nobody waits for any more, the oldest first."""
        self._reading: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    async def send(self, upload: Upload) -> Sent:
        """Give the program one upload, and wait for its answer.

        StackError if the program cannot be started, ends, or answers in a form that cannot be understood.
        """
        answer = self._waiting[upload.id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._program.longest):
                async with self._giving:
                    await self._give(upload.body)
                said = await answer
        except TimeoutError:
            return Sent("unknown", error=f"the program gave no answer within {self._program.longest:g} s")
        finally:
            del self._waiting[upload.id]
            if not answer.done() or answer.cancelled():
                self._forget(upload.id)
            else:
                answer.exception()  # so that asyncio does not say that nobody looked
        return self._sent(said)

    async def close(self) -> None:
        """End the program: it has no more lines to read."""
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
        await self._program.close()

    def _sent(self, said: _Answer) -> Sent:
        if said.ok is None:
            return Sent("unknown", error=said.error)
        if not said.ok:
            return Sent("fail", error=said.error)
        if said.blob is not None and said.sha256 is None and not self._documents:
            raise self._program.failure(
                f"its answer for {said.id} names a blob, but not the sha256 of its bytes, which only the program knows"
            )
        return Sent("ok", raw=said.blob, sha256=said.sha256)

    async def _give(self, line: bytes) -> None:
        if self._failure is not None:
            raise self._failure
        await self._program.give(line)
        self._reading = self._reading or asyncio.create_task(self._read())

    async def _read(self) -> None:
        """Hand each answer to whoever waits for it, until the program fails, and then the failure to all."""
        try:
            while True:
                self._take(await self._program.line())
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is raised by those who wait
            self._failure = failure
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(failure)

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
        answer = self._waiting.get(said.id)
        if answer is not None and not answer.done():
            answer.set_result(said)
        elif said.id in self._late:
            del self._late[said.id]
        else:
            raise self._program.failure(
                f"it answered for {said.id[:_SHOWN]}, which it was not given, or has answered for before; print one "
                "answer for each line"
            )

    def _forget(self, upload_id: str) -> None:
        self._late[upload_id] = None
        if len(self._late) > _REMEMBERED:
            del self._late[next(iter(self._late))]
