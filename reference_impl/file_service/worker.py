"""Steps 3 to 5: what was recorded is extracted, validated, stored and told, also after a restart."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import structlog
from pydantic import SerializeAsAny

from reference_impl.common_core.enums import ContentType
from reference_impl.common_core.envelope import EventEnvelope
from reference_impl.common_core.event_ids import event_id
from reference_impl.common_core.events import EssayContentProvisionedV1, EssayValidationFailedV1, EventData
from reference_impl.file_service.config import FileServiceSettings
from reference_impl.file_service.extractor import Extraction
from reference_impl.file_service.protocols import ContentServiceClientProtocol, ExtractorProtocol
from reference_impl.file_service.store import Upload, UploadStore
from reference_impl.service_libs.backoff import Backoff, until_set
from reference_impl.service_libs.clock import Clock

_log = structlog.get_logger()

SOURCE = "file_service"


@dataclass
class Worker:
    """Claims uploads and finishes them, several at a time, for ever."""

    settings: FileServiceSettings
    uploads: UploadStore
    content: ContentServiceClientProtocol
    extractor: ExtractorProtocol
    clock: Clock
    backoff: Backoff
    _failures: dict[str, int] = field(default_factory=dict, init=False)
    _in_hand: set[str] = field(default_factory=set, init=False)

    async def run(self) -> None:
        """Work until cancelled; what is then unfinished is claimed again after its claim has run out."""
        busy: set[asyncio.Task[None]] = set()
        try:
            while True:
                self.uploads.recorded.clear()
                for upload in await self._claim(self.settings.worker_parallel - len(busy)):
                    if upload.upload_id in self._in_hand:
                        continue  # its claim ran out while this very worker is at it
                    task = asyncio.create_task(self._finish_or_release(upload))
                    busy.add(task)
                    task.add_done_callback(busy.discard)
                    task.add_done_callback(lambda _: self.uploads.recorded.set())
                await until_set(self.uploads.recorded, self.settings.worker_poll_seconds)
        finally:
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)

    async def _claim(self, most: int) -> list[Upload]:
        if most == 0:
            return []
        return await self.backoff.persist(
            lambda: self.uploads.claim(most, self.settings.claim_seconds), "claim uploads"
        )

    async def _finish_or_release(self, upload: Upload) -> None:
        """Only dependencies can fail here: what is wrong with the bytes is an outcome. So it is tried for ever."""
        self._in_hand.add(upload.upload_id)
        with structlog.contextvars.bound_contextvars(upload_id=upload.upload_id):
            try:
                await self.finish(upload)
            except Exception as error:  # noqa: BLE001 - whatever it was, the upload must have its outcome
                failures = self._failures[upload.upload_id] = self._failures.get(upload.upload_id, 0) + 1
                _log.warning("tried again", failures=failures, error=repr(error))
                delay = self.backoff.delay(failures)
                await self.backoff.persist(lambda: self.uploads.release(upload, delay), "release an upload")
            else:
                self._failures.pop(upload.upload_id, None)
            finally:
                self._in_hand.discard(upload.upload_id)

    async def finish(self, upload: Upload) -> None:
        """Extract, validate, store the text, close the upload with its outcome."""
        raw = await self.content.fetch_content(upload.raw_file_storage_id)
        found = await asyncio.to_thread(self.extractor.extract, raw, upload.file_name)
        data: EventData
        if found.failure is None:
            text_storage_id = await self.content.store_content(
                found.text.encode("utf-8", "replace"), ContentType.EXTRACTED_PLAINTEXT
            )
            data = provisioned(upload, text_storage_id)
        else:
            data = failed(upload, found)
        event = envelope(upload, data, self.clock)
        if await self.uploads.finish(upload, "provisioned" if found.failure is None else "failed", event):
            _log.info("finished", event_type=data.EVENT_TYPE, event_id=str(event.event_id))
        else:
            _log.info("finished by another")


def provisioned(upload: Upload, text_storage_id: str) -> EssayContentProvisionedV1:
    """The outcome of an upload that passed."""
    return EssayContentProvisionedV1(
        upload_id=upload.upload_id,
        file_name=upload.file_name,
        raw_file_storage_id=upload.raw_file_storage_id,
        text_storage_id=text_storage_id,
    )


def failed(upload: Upload, found: Extraction) -> EssayValidationFailedV1:
    """The outcome of an upload that did not."""
    if found.failure is None:
        raise ValueError("this extraction did not fail")
    return EssayValidationFailedV1(
        upload_id=upload.upload_id,
        file_name=upload.file_name,
        raw_file_storage_id=upload.raw_file_storage_id,
        reason=found.failure,
        detail=found.detail,
    )


def envelope(upload: Upload, data: EventData, clock: Clock) -> EventEnvelope[EventData]:
    """An outcome event; its id depends on the upload and its occurrence alone."""
    return EventEnvelope[SerializeAsAny[EventData]](
        event_id=event_id(data.EVENT_TYPE, SOURCE, upload.upload_id, upload.occurrence),
        event_type=data.EVENT_TYPE,
        event_timestamp=clock.now(),
        source_service=SOURCE,
        correlation_id=upload.upload_id,
        causation_id=None,
        data=data,
    )
