"""The content service's HTTP API."""

import asyncio

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reference_impl.common_core.enums import ContentType
from reference_impl.content_service.core_logic import BlobStore
from reference_impl.service_libs.health import healthy_app
from reference_impl.service_libs.http_errors import Refused, read_body

_log = structlog.get_logger()


def build_app(blobs: BlobStore, *, max_blob_bytes: int) -> Starlette:
    """Serve ``POST /v1/content?content_type=…`` (store a body) and ``GET /v1/content/{id}`` (return it)."""

    async def needed() -> dict[str, bool]:
        return {"blobs": True}  # the folder exists before the app does

    async def store(request: Request) -> JSONResponse:
        content_type = _content_type(request.query_params.get("content_type", ""))
        content = await read_body(request, max_blob_bytes)
        try:
            storage_id = await asyncio.to_thread(blobs.put, content)
        except OSError as error:
            _log.exception("blob not written", size=len(content))
            raise Refused(507, "not_stored", f"the blob could not be written: {error.strerror}") from error
        _log.info("stored", storage_id=storage_id, size=len(content), content_type=content_type.value)
        return JSONResponse({"storage_id": storage_id})

    async def fetch(request: Request) -> Response:
        content = await asyncio.to_thread(blobs.get, request.path_params["storage_id"])
        if content is None:
            raise Refused(404, "not_found", "there is no blob with that name")
        return Response(content, media_type="application/octet-stream")

    return healthy_app(
        needed,
        [Route("/v1/content", store, methods=["POST"]), Route("/v1/content/{storage_id}", fetch, methods=["GET"])],
    )


def _content_type(text: str) -> ContentType:
    try:
        return ContentType(text)
    except ValueError as error:
        raise Refused(400, "invalid_request", f"content_type is one of {', '.join(ContentType)}") from error
