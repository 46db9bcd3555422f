"""Sends the scheduled uploads and records each as an operation."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from itertools import islice
from typing import TYPE_CHECKING

from harness.load.documents import Document
from harness.load.own_files import supply
from harness.load.paced import Paced
from harness.load.schedule import Planned, document, schedule
from harness.load.sending import Sender, Sent, Upload
from harness.load.values import Values
from harness.system_load import CommandLoad, UploadLoad
from harness.template import filled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from harness.history.recorder import Recorder
    from harness.scenario import LoadShape


class Load(Paced[Document]):
    """One run's uploads: ``open`` sets the sender. The user's files are relative to ``folder``, the system file's."""

    what = "uploads"

    def __init__(  # noqa: PLR0913 - the parts of a load
        self,
        shape: LoadShape,
        door: UploadLoad | CommandLoad,
        *,
        run: str,
        seed: int,
        recorder: Recorder,
        folder: Path,
    ) -> None:
        super().__init__(shape, run=run, seed=seed)
        self.answers.queued = not isinstance(door, UploadLoad)
        self._door, self._folder = door, folder
        self._recorder = recorder
        self._sender: Sender
        self._ready: list[Document] = []
        self._own: Mapping[str, Document] = {}

    def open(self, sender: Sender) -> None:
        """Set the sender, whose address may be unknown before the services run."""
        self._sender = sender

    def prepare(self) -> None:
        """Make every document in advance, so that making them does not delay uploads. Blocks: use a thread."""
        supplied = supply(self._door, self._folder)
        self._kinds, self._own = supplied.kinds, supplied.own
        planned = islice(schedule(self._shape, self._seed, self._kinds), self._shape.uploads)
        self._ready = [self._document(upload) for upload in planned] if self._door.carries != "nothing" else []

    async def run(self, more: Callable[[], bool] = lambda: False) -> None:
        """Send every upload at its time; StackError if a program that sends them fails."""
        try:
            await super().run(more)
        except BaseException:
            await self._sender.end()
            raise
        await self._sender.close()

    def _document(self, planned: Planned) -> Document:
        return self._own.get(planned.kind) or document(planned, self._seed)

    async def _made(self, planned: Planned) -> Document:
        if self._door.carries == "nothing":
            return Document("", self._json(planned, None), acceptable=True)
        if planned.index < len(self._ready):
            return self._ready[planned.index]
        return await asyncio.to_thread(self._document, planned)

    async def _operate(self, planned: Planned, made: Document) -> None:
        # Without an id in the request, a second try would be a second upload; a program tries again by itself.
        again = isinstance(self._door, UploadLoad) and self._door.identified
        for attempt in range(self._shape.retries + 1 if again else 1):
            if attempt:
                await asyncio.sleep(self._shape.retry_after)
            if await self._once(planned, made):
                return

    def _json(self, planned: Planned, made: Document | None) -> bytes:
        """The body of a planned upload, the same on each try."""
        values = Values.of(self._seed, planned.index, self._id(planned), self._batch(planned), self._shape.batch)
        if made is not None:
            text, coded = made.content.decode(errors="replace"), base64.b64encode(made.content).decode()
            values = values.having({"text": text, "base64": coded, "file_name": made.file_name})
        return json.dumps(filled(self._door.template, values), ensure_ascii=False, allow_nan=False).encode()

    async def _send(self, planned: Planned, made: Document) -> Sent:
        body = b""
        if self._door.template:
            body = made.content if self._door.carries == "nothing" else self._json(planned, made)
        upload = Upload(self._id(planned), self._batch(planned), self._shape.batch, made, body)
        with self.answers.awaited():
            return await self._sender.send(upload, self.answers.begin)

    async def _once(self, planned: Planned, made: Document) -> bool:
        """Try once; return False if the answer leaves the upload unknown."""
        upload_id, batch = self._id(planned), self._batch(planned)
        digest = hashlib.sha256(made.content).hexdigest() if isinstance(self._door, UploadLoad) else None
        batched = {"batch": batch} if self._door.batches else {}
        with self._recorder.operation(
            "upload",
            "client",
            upload_id=upload_id,
            file_name=made.file_name or None,
            size=len(made.content),
            sha256=digest,
            acceptable=made.acceptable,
            **batched,
        ) as operation:
            sent = await self._send(planned, made)
            digest = digest or self._of_the_program(sent, made)
            if sent.phase == "ok":
                operation.ok(
                    upload_id=upload_id,
                    status=sent.status,
                    sha256=digest,
                    acceptable=made.acceptable,
                    raw_file_storage_id=sent.raw,
                )
            elif sent.phase == "fail":
                operation.fail(upload_id=upload_id, status=sent.status, error=sent.error)
            else:
                operation.unknown(upload_id=upload_id, status=sent.status, error=sent.error, sha256=digest)
        self.answers.note(
            sent.phase,
            upload_id,
            batch=batched.get("batch"),
            acceptable=made.acceptable,
            raw=sent.raw,
            sha256=digest or "",
        )
        return sent.phase != "unknown"

    def _of_the_program(self, sent: Sent, made: Document) -> str | None:
        """The SHA-256 of what the system got from a program; None if unknown.

        If the program reports none, it is the document's, but only for an acknowledged upload, as the program may have
        sent other bytes.
        """
        if sent.sha256 is None and sent.phase == "ok" and self._door.carries != "nothing":
            return hashlib.sha256(made.content).hexdigest()
        return sent.sha256
