"""Raw first: an upload's bytes are stored durably and the upload is recorded before anything reads them."""

import asyncio
import hashlib
import re
from dataclasses import dataclass

import structlog

from reference_impl.common_core.enums import ContentType
from reference_impl.file_service.config import FileServiceSettings
from reference_impl.file_service.document import extension, zip_bomb
from reference_impl.file_service.names import check_name
from reference_impl.file_service.store import BatchRefused, Upload, UploadStore
from reference_impl.service_libs.errors import is_dependency_error
from reference_impl.service_libs.http_errors import Refused
from reference_impl.service_libs.logging import brief
from reference_impl.service_libs.protocols import ContentServiceClientProtocol

_log = structlog.get_logger()

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_SIZE = re.compile(r"[1-9][0-9]{0,2}|1000")


@dataclass(frozen=True)
class Sent:
    """What a client sent, unchecked; without the two batch fields an upload is a batch of its own."""

    file_name: str
    content: bytes
    batch_id: str | None = None
    batch_size: str | None = None


@dataclass(frozen=True)
class UploadDesk:
    """Accepts uploads: step 1 stores the raw blob, step 2 records the upload."""

    settings: FileServiceSettings
    content: ContentServiceClientProtocol
    uploads: UploadStore

    async def take(self, key: str | None, sent: Sent) -> Upload:
        """Accept an upload and return it as recorded. Raises ``Refused``: 4xx is permanent, 503 may pass.

        A batch can refuse only after the raw blob was stored; the blob then stays, and no upload names it.
        """
        upload_id = _checked_key(key)
        check_name(sent.file_name)
        batch = _checked_batch(sent, upload_id)
        await self._check_content(sent.file_name, sent.content)
        raw = hashlib.sha256(sent.content).hexdigest()
        upload = Upload(upload_id, sent.file_name, raw, *batch, self.settings.extractor_version)
        try:
            recorded = await self.uploads.find(upload_id)
            if recorded is None:
                await self.content.store_content(sent.content, ContentType.RAW_UPLOAD_BLOB)
                recorded = await self.uploads.record(upload)
        except BatchRefused as refused:
            raise Refused(422, refused.error, str(refused)) from refused
        except Exception as error:
            _refuse_outage(error, upload_id, "the upload could not be stored; try again")
            raise
        if recorded.raw_file_storage_id != raw:
            raise Refused(422, "key_reused", "this Idempotency-Key was used for other bytes")
        if (recorded.batch_id, recorded.batch_size) != batch:
            raise Refused(422, "key_reused", "this Idempotency-Key was used for another batch")
        return recorded

    async def again(self, upload_id: str) -> None:
        """Have an upload extracted again from its raw blob; the worker publishes the new outcome. Raises ``Refused``.

        Each request adds one outcome; after a 503 the request may have been recorded all the same.
        """
        is_key = _KEY.fullmatch(upload_id)  # anything else names no upload, and may hold NUL, which Postgres refuses
        try:
            finished = await self.uploads.again(upload_id, self.settings.extractor_version) if is_key else None
        except Exception as error:
            _refuse_outage(error, upload_id, "the request may or may not have been recorded")
            raise
        if finished is None:
            raise Refused(404, "unknown_upload", "there is no such upload")
        if not finished:
            raise Refused(409, "no_outcome_yet", "the upload has no outcome yet: it is still being processed")

    async def _check_content(self, file_name: str, content: bytes) -> None:
        if not content:
            raise Refused(400, "empty", "the file has no bytes")
        if len(content) > self.settings.max_upload_bytes:
            raise Refused(
                413, "too_large", f"{len(content)} bytes; at most {self.settings.max_upload_bytes} are accepted"
            )
        if extension(file_name) == ".docx":
            reason = await asyncio.to_thread(zip_bomb, content, self.settings.max_unpacked_bytes)
            if reason is not None:
                raise Refused(413, "zip_bomb", reason)


def _refuse_outage(error: Exception, upload_id: str, detail: str) -> None:
    """Raise ``Refused`` with 503 if a dependency is at fault."""
    if is_dependency_error(error):
        _log.warning("dependency unavailable", upload_id=upload_id, error=brief(error))
        raise Refused(503, "unavailable", detail) from error


def _checked_key(key: str | None) -> str:
    if not key:
        raise Refused(400, "no_key", "the header Idempotency-Key is missing")
    if not _KEY.fullmatch(key):
        raise Refused(400, "bad_key", "an Idempotency-Key is 1 to 255 visible ASCII characters")
    return key


def _checked_batch(sent: Sent, upload_id: str) -> tuple[str, int]:
    if sent.batch_id is None and sent.batch_size is None:
        # A client's own batch_id holds no space, so nobody else's batch can have this name.
        return f"upload {upload_id}", 1
    if sent.batch_id is None or sent.batch_size is None:
        raise Refused(400, "bad_batch", "send both batch_id and batch_size, or neither")
    if not _KEY.fullmatch(sent.batch_id):
        raise Refused(400, "bad_batch", "a batch_id is 1 to 255 visible ASCII characters")
    if not _SIZE.fullmatch(sent.batch_size):
        raise Refused(400, "bad_batch", "a batch_size is a whole number from 1 to 1000")
    return sent.batch_id, int(sent.batch_size)
