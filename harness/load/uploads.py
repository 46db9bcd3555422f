"""Sends the scheduled uploads to the front door and records each as an operation."""

from __future__ import annotations

import asyncio
import hashlib
from itertools import islice
from typing import TYPE_CHECKING

from harness.load.answers import end_of
from harness.load.paced import Paced
from harness.load.schedule import Planned, document, schedule
from harness.pointer import pick

if TYPE_CHECKING:
    from harness.clients.http import Answer, HttpClient
    from harness.history.recorder import Recorder
    from harness.load.documents import Document
    from harness.scenario import LoadShape
    from harness.system_load import UploadLoad


class Load(Paced["Document"]):
    """One run's uploads: ``open`` names the front door."""

    what = "uploads"

    def __init__(self, shape: LoadShape, door: UploadLoad, *, run: str, seed: int, recorder: Recorder) -> None:
        super().__init__(shape, run=run, seed=seed)
        self._door = door
        self._recorder = recorder
        self._url = ""
        self._http: HttpClient
        self._ready: list[Document] = []

    def open(self, http: HttpClient, url: str) -> None:
        """Set the front door, which has an address only once the services run."""
        self._http, self._url = http, url

    def prepare(self) -> None:
        """Make every document in advance, so that making them does not delay uploads. Blocks: use a thread."""
        planned = islice(schedule(self._shape, self._seed), self._shape.uploads)
        self._ready = [document(upload, self._seed) for upload in planned]

    async def _made(self, planned: Planned) -> Document:
        if planned.index < len(self._ready):
            return self._ready[planned.index]
        return await asyncio.to_thread(document, planned, self._seed)

    async def _operate(self, planned: Planned, made: Document) -> None:
        upload_id, batch = self._id(planned), self._batch(planned)
        for attempt in range(self._shape.retries + 1):
            if attempt:
                await asyncio.sleep(self._shape.retry_after)
            if await self._once(upload_id, batch, made):
                return

    async def _once(self, upload_id: str, batch: str, content: Document) -> bool:
        """Try once; return False if the answer leaves the upload unknown."""
        self.answers.begun += 1
        digest = hashlib.sha256(content.content).hexdigest()
        batched = {"batch": batch} if self._door.batches else {}
        with self._recorder.operation(
            "upload",
            "client",
            upload_id=upload_id,
            file_name=content.file_name,
            size=len(content.content),
            sha256=digest,
            acceptable=content.acceptable,
            **batched,
        ) as operation:
            answer = await self._http.upload(
                self._url,
                field=self._door.field,
                name=content.file_name,
                content=content.content,
                headers={self._door.id_header: upload_id},
                fields=self._door.filled(batch, self._shape.batch),
            )
            phase = end_of(answer.status, self._door)
            raw = self._raw(answer) if phase == "ok" else None
            if phase == "ok":
                operation.ok(
                    upload_id=upload_id,
                    status=answer.status,
                    sha256=digest,
                    acceptable=content.acceptable,
                    raw_file_storage_id=raw,
                )
            elif phase == "fail":
                operation.fail(upload_id=upload_id, status=answer.status, error=answer.error)
            else:
                operation.unknown(upload_id=upload_id, status=answer.status, error=answer.error)
        self.answers.note(
            phase,
            upload_id,
            batch=batched.get("batch"),
            acceptable=content.acceptable,
            raw=raw,
            sha256=digest,
        )
        return phase != "unknown"

    def _raw(self, answer: Answer) -> str | None:
        storage_id = pick(answer.body, self._door.blob) if self._door.blob else None
        return storage_id if isinstance(storage_id, str) else None
