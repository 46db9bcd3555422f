"""The file service's HTTP side: the front door."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Annotated

from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from reference_impl.file_service.core_logic import UploadDesk
from reference_impl.service_libs.health import Check, health_routes
from reference_impl.service_libs.http_errors import Refused, read_body, refuse_in_json

_FRAME_BYTES = 64 * 1024
"""What a multipart body may hold around the file itself."""


def build_app(desk: UploadDesk, *, max_upload_bytes: int, needed: Mapping[str, Check]) -> FastAPI:
    """``POST /v1/files``: multipart field ``file``, header ``Idempotency-Key``; 202 when the raw blob is durable."""
    app = FastAPI(title="file_service", openapi_url=None)
    refuse_in_json(app)
    app.include_router(health_routes(needed))

    @app.post("/v1/files")
    async def upload(request: Request, idempotency_key: Annotated[str | None, Header()] = None) -> JSONResponse:
        file_name, content = await _file(request, max_upload_bytes)
        taken = await desk.take(idempotency_key, file_name, content)
        answer = {"upload_id": taken.upload_id, "raw_file_storage_id": taken.raw_file_storage_id}
        return JSONResponse(answer, status_code=202)

    return app


async def _file(request: Request, limit: int) -> tuple[str, bytes]:
    """Name and bytes of the one field ``file``. Raises ``Refused``."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refused(415, "not_multipart", "send the file as multipart/form-data, in the field `file`")
    body = await read_body(request, limit + _FRAME_BYTES)
    try:
        form = await MultiPartParser(request.headers, _once(body), max_files=1, max_fields=16).parse()
    except MultiPartException as error:
        raise Refused(400, "bad_multipart", error.message) from error
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Refused(400, "no_file", "the multipart field `file` is missing, or has no file name")
        return file.filename or "", await file.read()
    finally:
        await form.close()


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
