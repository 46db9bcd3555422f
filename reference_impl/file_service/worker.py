"""Steps 3 to 5: what was recorded is extracted, validated, stored and told, also after a restart."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import structlog

from reference_impl.common_core.enums import ContentType, ValidationFailure
from reference_impl.common_core.events import EssayContentProvisionedV1, EssayValidationFailedV1, UploadOutcome, fact
from reference_impl.file_service.config import FileServiceSettings
from reference_impl.file_service.extraction import IsolatedExtractor
from reference_impl.file_service.store import Upload, UploadStore
from reference_impl.service_libs.backoff import Backoff, to_its_end, until_set
from reference_impl.service_libs.clock import Clock
from reference_impl.service_libs.protocols import ContentServiceClientProtocol

_log = structlog.get_logger()

SOURCE = "file_service"


@dataclass
class Worker:
    """Claims uploads and finishes them, several at a time, for ever."""

    settings: FileServiceSettings
    uploads: UploadStore
    content: ContentServiceClientProtocol
    extractor: IsolatedExtractor
    clock: Clock
    backoff: Backoff
    _failures: dict[str, int] = field(default_factory=dict, init=False)
    _in_hand: set[str] = field(default_factory=set, init=False)

    async def run(self) -> None:
        """Work until cancelled; what is then unfinished is given back."""
        busy: set[asyncio.Task[None]] = set()
        try:
            while True:
                self.uploads.recorded.clear()
                for upload in await self._claim(self.settings.worker_parallel - len(busy)):
                    self._in_hand.add(upload.upload_id)
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
        return await self.backoff.persist(lambda: self._claim_once(most), "claim uploads")

    async def _claim_once(self, most: int) -> list[Upload]:
        # A claim may run out while this very worker is at it: then it is no claim of a process that died.
        claim = self.uploads.claim(most, self.settings.claim_seconds, besides=self._in_hand)
        claiming = asyncio.create_task(claim)
        try:
            return await to_its_end(claiming)
        except asyncio.CancelledError:
            for upload in claiming.result():  # the transaction went on all the same
                await self._release(upload, 0)
            raise

    async def _finish_or_release(self, upload: Upload) -> None:
        """Only dependencies can fail here: what is wrong with the bytes is an outcome. So it is tried for ever.

        What ends the process instead leaves the claim counted, and ``max_claims`` bounds that.
        """
        with structlog.contextvars.bound_contextvars(upload_id=upload.upload_id):
            try:
                await self.finish(upload)
            except Exception as error:  # noqa: BLE001 - whatever it was, the upload must have its outcome
                failures = self._failures[upload.upload_id] = self._failures.get(upload.upload_id, 0) + 1
                _log.warning("tried again", failures=failures, error=repr(error))
                await self._release(upload, min(self.backoff.delay(failures), self.settings.claim_seconds))
            except asyncio.CancelledError:
                await self._release(upload, 0)
                raise
            else:
                self._failures.pop(upload.upload_id, None)
            finally:
                self._in_hand.discard(upload.upload_id)

    async def _release(self, upload: Upload, seconds: float) -> None:
        """Also if this task is cancelled meanwhile: a claim that is not given back is one of a process that died."""
        await to_its_end(self.backoff.persist(lambda: self.uploads.release(upload, seconds), "release an upload"))

    async def finish(self, upload: Upload) -> None:
        """Extract, validate, store the text, close the upload with its outcome."""
        data = await self._outcome(upload)
        status = "failed" if isinstance(data, EssayValidationFailedV1) else "provisioned"
        event = fact(
            data,
            source=SOURCE,
            now=self.clock.now(),
            correlation_id=upload.upload_id,
            occurrence=upload.occurrence,
        )
        if await self.uploads.finish(upload, status, event):
            _log.info("finished", event_type=data.EVENT_TYPE, event_id=str(event.event_id))
        else:
            _log.info("finished by another")

    async def _outcome(self, upload: Upload) -> UploadOutcome:
        if upload.claims > self.settings.max_claims:
            detail = f"given up: {self.settings.max_claims} claims ended with neither an outcome nor an error"
            return EssayValidationFailedV1(**_told(upload), reason=ValidationFailure.DAMAGED, detail=detail)
        raw = await self.content.fetch_content(upload.raw_file_storage_id)
        found = await self.extractor.extract(raw, upload.file_name, upload.extractor_version)
        if found.failure is not None:
            return EssayValidationFailedV1(**_told(upload), reason=found.failure, detail=found.detail)
        text = found.text.encode("utf-8", "replace")
        storage_id = await self.content.store_content(text, ContentType.EXTRACTED_PLAINTEXT)
        return EssayContentProvisionedV1(**_told(upload), text_storage_id=storage_id)


def _told(upload: Upload) -> dict[str, Any]:
    """What both outcomes tell of an upload."""
    return {name: getattr(upload, name) for name in UploadOutcome.model_fields}
