"""The file service's HTTP API: the front door."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from reference_impl.file_service.core_logic import Sent, UploadDesk
from reference_impl.file_service.form import read_form
from reference_impl.service_libs.health import Check, healthy_app
from reference_impl.service_libs.http_errors import Refused, read_body

_FRAME_BYTES = 64 * 1024
"""Allowance for what a multipart body has around the file."""


def build_app(desk: UploadDesk, needed: Check) -> Starlette:
    """Serve the uploads and their reprocessing.

    ``POST /v1/files``: multipart field ``file``, header ``Idempotency-Key``; 202 once the raw blob is durable. The
    optional fields ``batch_id`` and ``batch_size``, both or neither, put the upload into a batch of that size.

    ``POST /v1/files/{upload_id}/reprocess``: 202 once another extraction is requested, 404 for an unknown upload, 409
    for an upload without an outcome.
    """

    async def upload(request: Request) -> JSONResponse:
        sent = await _sent(request, desk.settings.max_upload_bytes)
        recorded = await desk.take(request.headers.get("idempotency-key"), sent)
        answer = {"upload_id": recorded.upload_id, "raw_file_storage_id": recorded.raw_file_storage_id}
        return JSONResponse(answer, status_code=202)

    async def reprocess(request: Request) -> JSONResponse:
        upload_id = request.path_params["upload_id"]
        await desk.again(upload_id)
        return JSONResponse({"upload_id": upload_id}, status_code=202)

    return healthy_app(
        needed,
        [
            Route("/v1/files", upload, methods=["POST"]),
            Route("/v1/files/{upload_id:path}/reprocess", reprocess, methods=["POST"]),
        ],
    )


async def _sent(request: Request, limit: int) -> Sent:
    """Read the file, and the batch fields if present. Raises ``Refused``."""
    body = await read_body(request, limit + _FRAME_BYTES)
    form = read_form(request.headers.get("content-type", ""), body)
    file = form.pop("file", None)
    if file is None or file.file_name is None:
        raise Refused(400, "no_file", "the multipart field `file` is missing, or has no file name")
    if any(part.file_name is not None for part in form.values()):
        raise Refused(400, "bad_multipart", "send one file per upload, in the field `file`")
    batch = (form[name].text if name in form else None for name in ("batch_id", "batch_size"))
    return Sent(file.file_name, file.content, *batch)
