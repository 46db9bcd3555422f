"""The file service's HTTP side: the front door."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from reference_impl.file_service.core_logic import Sent, UploadDesk
from reference_impl.file_service.form import read_form
from reference_impl.service_libs.health import Check, healthy_app
from reference_impl.service_libs.http_errors import Refused, read_body

_FRAME_BYTES = 64 * 1024
"""What a multipart body may hold around the file itself."""


def build_app(desk: UploadDesk, needed: Check) -> Starlette:
    """``POST /v1/files``: multipart field ``file``, header ``Idempotency-Key``; 202 when the raw blob is durable.

    The fields ``batch_id`` and ``batch_size``, both or neither, make the upload one of a batch of so many.
    ``POST /v1/files/{upload_id}/reprocess``: 202 when it is to be extracted anew; 404 without such an upload, 409 without
    an outcome yet.
    """

    async def upload(request: Request) -> JSONResponse:
        sent = await _sent(request, desk.settings.max_upload_bytes)
        taken = await desk.take(request.headers.get("idempotency-key"), sent)
        answer = {"upload_id": taken.upload_id, "raw_file_storage_id": taken.raw_file_storage_id}
        return JSONResponse(answer, status_code=202)

    async def reprocess(request: Request) -> JSONResponse:
        upload_id = request.path_params["upload_id"]
        await desk.again(upload_id)
        return JSONResponse({"upload_id": upload_id}, status_code=202)

    return healthy_app(
        needed,
        [
            Route("/v1/files", upload, methods=["POST"]),
            Route("/v1/files/{upload_id}/reprocess", reprocess, methods=["POST"]),
        ],
    )


async def _sent(request: Request, limit: int) -> Sent:
    """The one file, and the batch's fields if there are any. Raises ``Refused``."""
    body = await read_body(request, limit + _FRAME_BYTES)
    form = read_form(request.headers.get("content-type", ""), body)
    file = form.pop("file", None)
    if file is None or file.file_name is None:
        raise Refused(400, "no_file", "the multipart field `file` is missing, or has no file name")
    if any(part.file_name is not None for part in form.values()):
        raise Refused(400, "bad_multipart", "one file an upload, in the field `file`")
    batch = (form[name].text if name in form else None for name in ("batch_id", "batch_size"))
    return Sent(file.file_name, file.content, *batch)
