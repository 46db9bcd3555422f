"""Sends the scheduled uploads to the front door and records each as an operation."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from itertools import islice
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from harness.load.answers import end_of
from harness.load.documents import TEXTS, Document
from harness.load.paced import Paced
from harness.load.schedule import EVERY, Planned, document, schedule
from harness.load.values import Values
from harness.pointer import pick
from harness.template import filled

if TYPE_CHECKING:
    from harness.clients.http import Answer, HttpClient
    from harness.history.recorder import Recorder
    from harness.scenario import LoadShape
    from harness.system_load import UploadLoad

RAW: Final = "application/octet-stream"
"""The content type of a document that is the whole body."""


class Load(Paced[Document]):
    """One run's uploads: ``open`` names the front door."""

    what = "uploads"

    def __init__(self, shape: LoadShape, door: UploadLoad, *, run: str, seed: int, recorder: Recorder) -> None:
        super().__init__(shape, run=run, seed=seed)
        self._door = door
        self._recorder = recorder
        self._url = ""
        self._http: HttpClient
        self._ready: list[Document] = []
        self._kinds = TEXTS if door.carries == "text" else EVERY

    def open(self, http: HttpClient, url: str) -> None:
        """Set the front door, which has an address only once the services run."""
        self._http, self._url = http, url

    def prepare(self) -> None:
        """Make every document in advance, so that making them does not delay uploads. Blocks: use a thread."""
        planned = islice(schedule(self._shape, self._seed, self._kinds), self._shape.uploads)
        self._ready = [document(upload, self._seed) for upload in planned] if self._door.carries != "nothing" else []

    async def _made(self, planned: Planned) -> Document:
        if self._door.carries == "nothing":
            return Document("", self._json(planned, None), acceptable=True)
        if planned.index < len(self._ready):
            return self._ready[planned.index]
        return await asyncio.to_thread(document, planned, self._seed)

    async def _operate(self, planned: Planned, made: Document) -> None:
        # Without an id in the request, a second try would be a second upload.
        for attempt in range(self._shape.retries + 1 if self._door.identified else 1):
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

    async def _send(self, planned: Planned, made: Document) -> Answer:
        door, upload_id = self._door, self._id(planned)
        url = self._url.replace("{id}", quote(upload_id, safe=""))
        headers = {door.id_header: upload_id} if door.id_header is not None else {}
        if door.body == "multipart":
            fields = door.filled(self._batch(planned), self._shape.batch, upload_id)
            name, content = made.file_name, made.content
            return await self._http.upload(
                url, method=door.method, field=door.field, name=name, content=content, headers=headers, fields=fields
            )
        if door.body == "raw":
            return await self._http.send(door.method, url, made.content, {**headers, "Content-Type": RAW})
        content = made.content if door.carries == "nothing" else self._json(planned, made)
        return await self._http.send(door.method, url, content, {**headers, "Content-Type": "application/json"})

    async def _once(self, planned: Planned, content: Document) -> bool:
        """Try once; return False if the answer leaves the upload unknown."""
        upload_id, batch = self._id(planned), self._batch(planned)
        self.answers.begun += 1
        digest = hashlib.sha256(content.content).hexdigest()
        batched = {"batch": batch} if self._door.batches else {}
        with self._recorder.operation(
            "upload",
            "client",
            upload_id=upload_id,
            file_name=content.file_name or None,
            size=len(content.content),
            sha256=digest,
            acceptable=content.acceptable,
            **batched,
        ) as operation:
            answer = await self._send(planned, content)
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
