"""Sends the scheduled uploads to the front door and records each as an operation."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from harness.load.answers import Answers, end_of
from harness.load.schedule import Planned, document, schedule
from harness.pointer import pick

if TYPE_CHECKING:
    from harness.clients.http import Answer, HttpClient
    from harness.history.recorder import Recorder
    from harness.load.documents import Document
    from harness.scenario import LoadShape
    from harness.system import UploadLoad

MOST = 5
"""A load kept up by faults ends after this many times its uploads at the latest."""


class Load:
    """One run's load: ``open`` names the front door, ``run`` sends everything, ``answers`` holds the answers.

    ``reached`` waits for a moment of the load. Ids of uploads and batches begin with the run's id, so that no two runs
    share a key.
    """

    def __init__(self, shape: LoadShape, door: UploadLoad, *, run: str, seed: int, recorder: Recorder) -> None:
        self._shape = shape
        self._door = door
        self._run = run
        self._recorder = recorder
        self._url = ""
        self._http: HttpClient
        self.answers = Answers(shape.batch)
        self._seed = seed
        self._ready: list[Document] = []
        self._begun = 0
        self._moved = asyncio.Condition()
        self._started = asyncio.Event()
        self._at = 0.0

    @property
    def scale(self) -> str:
        """The load's size, in words."""
        return f"{self._shape.uploads} uploads"

    @property
    def duration(self) -> float:
        """The load's planned duration in seconds."""
        return self._shape.uploads / self._shape.rate

    def open(self, http: HttpClient, url: str) -> None:
        """Set the front door, which has an address only once the services run."""
        self._http, self._url = http, url

    def prepare(self) -> None:
        """Make every document in advance, so that making them does not delay uploads. Blocks: use a thread."""
        planned = islice(schedule(self._shape, self._seed), self._shape.uploads)
        self._ready = [document(upload, self._seed) for upload in planned]

    async def run(self, more: Callable[[], bool] = lambda: False) -> None:
        """Send every upload at its time; while ``more`` is true, go on at the same rate, in whole batches."""
        loop = asyncio.get_running_loop()
        start = self._at = loop.time()
        self._started.set()
        async with asyncio.TaskGroup() as tasks:
            for planned in islice(schedule(self._shape, self._seed), MOST * self._shape.uploads):
                between = planned.index >= self._shape.uploads and planned.index % self._shape.batch == 0
                if between and not more():
                    break
                content = await self._document(planned)
                await asyncio.sleep(max(0.0, start + planned.at - loop.time()))
                tasks.create_task(self._upload(planned, content))
                self._begun += 1
                async with self._moved:
                    self._moved.notify_all()

    async def _document(self, planned: Planned) -> Document:
        if planned.index < len(self._ready):
            return self._ready[planned.index]
        return await asyncio.to_thread(document, planned, self._seed)

    def position(self, moment: float | str) -> float:
        """How far the load is, in the unit of ``moment``: seconds since its start, or per cent of its uploads begun."""
        if isinstance(moment, float):
            return asyncio.get_running_loop().time() - self._at if self._started.is_set() else 0.0
        return 100 * self._begun / self._shape.uploads

    async def reached(self, moment: float | str) -> None:
        """Wait until so many seconds after the load's start, or until a share ("25%") of the uploads has begun."""
        await self._started.wait()
        if isinstance(moment, float):
            await asyncio.sleep(moment)
            return
        count = math.ceil(float(moment.rstrip("%")) / 100 * self._shape.uploads)
        async with self._moved:
            await self._moved.wait_for(lambda: self._begun >= count)

    async def _upload(self, planned: Planned, content: Document) -> None:
        upload_id = f"{self._run}-{planned.index:07d}"
        batch = f"{self._run}-b{planned.index // self._shape.batch:06d}"
        for attempt in range(self._shape.retries + 1):
            if attempt:
                await asyncio.sleep(self._shape.retry_after)
            if await self._once(upload_id, batch, content):
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
