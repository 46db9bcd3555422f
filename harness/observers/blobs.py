"""Reads raw blobs, bypassing the proxies: after the upload's answer, after the event naming them, and at the end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from harness.clients.http import Blob
from harness.errors import StackError
from harness.observers.disk_map import DiskMap
from harness.stack import Fields

if TYPE_CHECKING:
    import httpx

_TOGETHER = 8
"""Concurrent reads."""

_AGAIN = 2.0
"""Seconds before the final pass reads again what it could not reach."""

_LONG = 10_000_000_000
"""Nanoseconds after which a read that brings nothing was not refused, but left waiting."""

_PATIENCE = 4
"""Times in a row that all reads are left waiting until the final pass gives the store up: a minute."""

_LED_AWAY = (
    "a redirect led to an address without the blob's id, perhaps to log in; "
    "let `blobs.get` be one that brings the blob itself"
)

_SLASH = (
    "404, and no blob whose id has a slash was found: the server may refuse `%2F`, as Apache httpd does without "
    "`AllowEncodedSlashes On`"
)

_CUT_SHORT = "the answer does not say how long it is, and the next one differed: one of them may have been cut short"


class Get(Protocol):
    """Reads one blob at a URL."""

    async def blob(self, url: str) -> Blob:
        """Read a blob; never raises for what the server does."""


class Blobs:
    """The blobs named so far. An interim pass reads those asked for since the last one, the final pass all of them."""

    what = "blobs"

    def __init__(self, http: Get, url: Callable[[str], str], now: Callable[[], int]) -> None:
        self._http = http
        self._url = url
        self._now = now
        self._named = DiskMap()
        """Storage id -> SHA-256, where known."""
        self._asked: list[tuple[str, str]] = []
        self._takes_slashes = False
        """Whether a blob whose id has a slash was found, or an answer led to one."""

    def ask(self, storage_id: str, why: str, sha256: str | None = None) -> None:
        """Have a blob read in the next pass; ``sha256`` is that of the acknowledged upload."""
        self._named.keep(storage_id, bytes.fromhex(sha256) if sha256 else None)
        self._asked.append((storage_id, why))

    def through(self, http: Get) -> Blobs:
        """Return an observer that reads the same blobs by another client; closing this one closes both."""
        other = Blobs(http, self._url, self._now)
        other._named.close()
        other._named = self._named
        return other

    @property
    def asked(self) -> bool:
        """Whether the next pass has anything to read."""
        return bool(self._asked)

    async def read(self, *, final: bool) -> AsyncIterator[Fields]:
        """Read the blobs that were asked for, or all of them if ``final``; then StackError if the store answers nothing."""
        asked, self._asked = self._asked, []
        due = ((storage_id, "final") for storage_id in self._named) if final else iter(asked)
        unreachable: list[tuple[str, str]] = []
        read = 0
        async for fields in self._each(due, final=final):
            yield fields
            read += 1
            if final and fields["phase"] == "unreachable":
                unreachable.append((str(fields["raw_file_storage_id"]), "final"))
        # A busy machine may have kept the store from answering in its time; of two reads the later one counts. A store that
        # has not answered once is away.
        if not unreachable or len(unreachable) == read > _TOGETHER:
            return
        await asyncio.sleep(_AGAIN)
        async for fields in self._each(iter(unreachable), final=True):
            yield fields

    async def _each(self, due: Iterator[tuple[str, str]], *, final: bool) -> AsyncIterator[Fields]:
        in_vain = 0
        while together := list(islice(due, _TOGETHER)):
            begun = self._now()
            rows = await asyncio.gather(*(self._one(*request) for request in together))
            waited = self._now() - begun >= _LONG and all(fields["phase"] == "unreachable" for fields in rows)
            for fields in rows:
                yield fields
            in_vain = in_vain + 1 if waited else 0
            if final and in_vain == _PATIENCE:
                raise StackError(f"the store of the raw blobs does not answer: {rows[-1]['error']}")

    def close(self) -> None:
        """Delete the temporary file."""
        self._named.close()

    async def _one(self, storage_id: str, why: str) -> Fields:
        begun = self._now()
        blob = await self._get(storage_id)
        expected = self._named.get(storage_id)
        if expected is not None and blob.sent == expected.hex():
            blob = replace(blob, sha256=blob.sent)
        differs = expected is None or blob.sha256 != expected.hex()
        if differs and not blob.measured and (await self._get(storage_id)).sha256 != blob.sha256:
            blob = Blob("unreachable", error=_CUT_SHORT)
        if blob.led is not None and differs and not _names(blob.led, storage_id):
            blob = Blob("unreachable", error=_LED_AWAY)
        if "/" in storage_id:
            self._takes_slashes |= blob.phase == "present" or blob.led is not None
            if blob.phase == "missing" and not self._takes_slashes:
                blob = Blob("unreachable", error=_SLASH)
        return {
            "op": "blob",
            "phase": "different" if blob.phase == "present" and expected is not None and differs else blob.phase,
            "t_begin": begun,
            "raw_file_storage_id": storage_id,
            "size": blob.size,
            "sha256": blob.sha256,
            "why": why,
            "error": blob.error or None,
        }

    async def _get(self, storage_id: str) -> Blob:
        try:
            return await self._http.blob(self._url(storage_id))
        except ValueError as error:  # an id that makes no URL, such as half a character, must not end the pass
            return Blob("unreachable", error=f"{type(error).__name__}: {error}")


def _names(url: httpx.URL, storage_id: str) -> bool:
    """Whether an address names a blob: 17 is in /raw-17.pdf and /raw?id=17, but not in /v17/login?next=/17."""
    whole = rf"(?<![^\W_]){re.escape(storage_id)}(?![^\W_])"
    return storage_id in url.params.values() or re.search(whole, url.path, re.IGNORECASE) is not None
