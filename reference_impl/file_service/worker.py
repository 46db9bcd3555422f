"""Steps 3 to 5: recorded uploads are extracted and validated, their texts stored and their outcomes published."""

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
from reference_impl.service_libs.logging import brief
from reference_impl.service_libs.protocols import ContentServiceClientProtocol

_log = structlog.get_logger()

SOURCE = "file_service"

_REMEMBERED = 1_000
"""Uploads whose failures are counted. Those that another replica finished would otherwise be remembered forever."""


@dataclass
class Worker:
    """Claims uploads and finishes them, several at a time, forever; a restart loses none."""

    settings: FileServiceSettings
    uploads: UploadStore
    content: ContentServiceClientProtocol
    extractor: IsolatedExtractor
    clock: Clock
    backoff: Backoff
    _failures: dict[str, int] = field(default_factory=dict, init=False)
    _in_hand: set[str] = field(default_factory=set, init=False)

    async def run(self) -> None:
        """Work until cancelled; then give unfinished uploads back."""
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
        if most <= 0:
            return []
        return await self.backoff.persist(lambda: self._claim_once(most), "claim uploads")

    async def _claim_once(self, most: int) -> list[Upload]:
        # A claim may expire while this worker still holds the upload; that is not the claim of a dead process.
        claim = self.uploads.claim(most, self.settings.claim_seconds, besides=self._in_hand)
        claiming = asyncio.create_task(claim)
        try:
            return await to_its_end(claiming)
        except asyncio.CancelledError:
            for upload in claiming.result():  # the transaction went on despite the cancellation
                await self._release(upload, 0)
            raise

    async def _finish_or_release(self, upload: Upload) -> None:
        """Finish an upload, or release it for a retry: only dependencies can fail here, since bad bytes are an outcome.

        If the process dies instead, the claim stays counted, and ``max_claims`` bounds that.
        """
        with structlog.contextvars.bound_contextvars(upload_id=upload.upload_id):
            try:
                await self.finish(upload)
            except Exception as error:  # noqa: BLE001 - the upload must have its outcome, whatever it was
                failures = self._failures[upload.upload_id] = self._failures.pop(upload.upload_id, 0) + 1
                if len(self._failures) > _REMEMBERED:
                    del self._failures[next(iter(self._failures))]
                _log.warning("retrying", failures=failures, error=brief(error))
                await self._release(upload, min(self.backoff.delay(failures), self.settings.claim_seconds))
            except asyncio.CancelledError:
                await self._release(upload, 0)
                raise
            else:
                self._failures.pop(upload.upload_id, None)
            finally:
                self._in_hand.discard(upload.upload_id)

    async def _release(self, upload: Upload, seconds: float) -> None:
        """Release a claim even if cancelled meanwhile: an unreleased claim counts as that of a dead process."""
        await to_its_end(self.backoff.persist(lambda: self.uploads.release(upload, seconds), "release an upload"))

    async def finish(self, upload: Upload) -> None:
        """Extract, validate, store the text, and close the upload with its outcome."""
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
            _log.info("another worker finished it")

    async def _outcome(self, upload: Upload) -> UploadOutcome:
        if upload.claims > self.settings.max_claims:
            detail = f"given up: {self.settings.max_claims} claims ended with neither an outcome nor an error"
            return EssayValidationFailedV1(**_common(upload), reason=ValidationFailure.DAMAGED, detail=detail)
        raw = await self.content.fetch_content(upload.raw_file_storage_id)
        extraction = await self.extractor.extract(raw, upload.file_name, upload.extractor_version)
        if extraction.failure is not None:
            return EssayValidationFailedV1(**_common(upload), reason=extraction.failure, detail=extraction.detail)
        text = extraction.text.encode("utf-8", "replace")
        storage_id = await self.content.store_content(text, ContentType.EXTRACTED_PLAINTEXT)
        return EssayContentProvisionedV1(**_common(upload), text_storage_id=storage_id)


def _common(upload: Upload) -> dict[str, Any]:
    """Return the fields that both outcomes share."""
    return {name: getattr(upload, name) for name in UploadOutcome.model_fields}
