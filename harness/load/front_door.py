"""Sends uploads to a front door over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from harness.load.answers import blob_in, end_of
from harness.load.sending import Sent, Upload

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.clients.http import Answer, HttpClient
    from harness.system_load import UploadLoad

RAW: Final = "application/octet-stream"
"""The content type of a document that is the whole body."""


class FrontDoor:
    """The front door at ``url``, which has ``{id}`` in it where the path holds the upload's id."""

    def __init__(self, door: UploadLoad, http: HttpClient, url: str) -> None:
        self._door, self._http, self._url = door, http, url

    async def send(self, upload: Upload, begun: Callable[[], object]) -> Sent:
        """Send one request, and map its answer to how the upload ended."""
        begun()
        answer = await self._answer(upload)
        phase = end_of(answer.status, self._door)
        if phase != "ok":
            return Sent(phase, answer.status, answer.error)
        return Sent(phase, answer.status, raw=blob_in(answer.body, self._door))

    async def close(self) -> None:
        """Do nothing: the client is the run's."""

    async def end(self) -> None:
        """Do nothing, as ``close``."""

    async def _answer(self, upload: Upload) -> Answer:
        door, made = self._door, upload.document
        url = self._url.replace("{id}", quote(upload.id, safe=""))
        headers = {door.id_header: upload.id} if door.id_header is not None else {}
        if door.body == "multipart":
            fields = door.filled(upload.batch, upload.batch_size, upload.id)
            name, content = made.file_name, made.content
            return await self._http.upload(
                url, method=door.method, field=door.field, name=name, content=content, headers=headers, fields=fields
            )
        if door.body == "raw":
            return await self._http.send(door.method, url, made.content, {**headers, "Content-Type": RAW})
        return await self._http.send(door.method, url, upload.body, {**headers, "Content-Type": "application/json"})
