"""What a read of a blob proves: only a whole answer is one."""

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from harness.clients.http import Blob, HttpClient

URL = "http://user:secret@store:1/blobs/17"
PRESIGNED = "http://elsewhere:2/bucket/17?signature=abc"


def as_it_comes(made: httpx.Response) -> httpx.Response:
    """An answer whose body was not read yet, as a server's."""

    async def body() -> AsyncIterator[bytes]:
        yield made.content

    return httpx.Response(made.status_code, headers=made.headers, content=body())


async def read(answer: Callable[[httpx.Request], httpx.Response]) -> Blob:
    http = HttpClient()
    await http._client.aclose()
    http._client = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda request: as_it_comes(answer(request))),
        max_redirects=http._client.max_redirects,
        trust_env=False,
    )
    try:
        return await http.blob(URL)
    finally:
        await http.close()


@pytest.mark.parametrize("status", [204, 206, 201, 203, 300, 304, 401, 403, 500, 503])
async def test_whatever_brings_no_whole_blob_proves_nothing(status: int) -> None:
    blob = await read(lambda _: httpx.Response(status, content=b"" if status in {204, 304} else b"a part"))
    assert (blob.phase, blob.sha256) == ("unreachable", None)
    assert f"HTTP {status}" in blob.error


@pytest.mark.parametrize(
    ("status", "content", "phase"),
    [(200, b"all", "present"), (200, b"", "present"), (404, b"", "missing"), (410, b"", "missing")],
)
async def test_a_whole_answer_does(status: int, content: bytes, phase: str) -> None:
    blob = await read(lambda _: httpx.Response(status, content=content))
    assert (blob.phase, blob.led) == (phase, None)
    assert blob.sha256 == (hashlib.sha256(content).hexdigest() if phase == "present" else None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed_to_another_host_without_what_logs_in(status: int) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if request.url.host == "store":
            return httpx.Response(status, headers={"Location": PRESIGNED})
        return httpx.Response(200, content=b"all")

    blob = await read(answer)
    assert (blob.sha256, blob.led) == (hashlib.sha256(b"all").hexdigest(), httpx.URL(PRESIGNED))
    assert [("Authorization" in request.headers, request.url.userinfo) for request in asked] == [
        (True, b"user:secret"),
        (False, b""),
    ]


async def test_what_is_missing_where_a_redirect_leads_is_missing() -> None:
    blob = await read(
        lambda request: (
            httpx.Response(404)
            if request.url.host == "elsewhere"
            else httpx.Response(302, headers={"Location": PRESIGNED})
        )
    )
    assert (blob.phase, blob.led) == ("missing", httpx.URL(PRESIGNED))


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "Text/HTML"])
async def test_a_page_to_log_in_is_no_other_blob(content_type: str) -> None:
    blob = await read(
        lambda request: (
            httpx.Response(200, content=b"<form>", headers={"Content-Type": content_type})
            if request.url.path == "/login"
            else httpx.Response(302, headers={"Location": "/login"})
        )
    )
    assert (blob.phase, blob.error) == ("unreachable", "redirected to a page of store, perhaps to log in")


@pytest.mark.parametrize("location", ["/blobs/17", "ftp://elsewhere/17", "http://[", ""])
async def test_redirects_that_lead_nowhere_prove_nothing(location: str) -> None:
    blob = await read(lambda _: httpx.Response(302, headers={"Location": location}))
    assert blob.phase == "unreachable"
    assert blob.error


async def sent(answer: bytes) -> Blob:
    """Read from a server that sends these bytes, and is gone."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    http = HttpClient()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        blob = await http.blob("http://{}:{}/blobs/17".format(*server.sockets[0].getsockname()))
    await http.close()
    return blob


@pytest.mark.parametrize(
    ("head", "measured"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\n", True),
    ],
)
async def test_an_answer_that_ends_with_its_connection_is_told_from_one_that_says_where_it_ends(
    head: bytes, *, measured: bool
) -> None:
    blob = await sent(head + b"a part")
    assert (blob.phase, blob.size, blob.measured) == ("present", 6, measured)


async def test_of_an_answer_with_an_encoding_both_forms_are_known() -> None:
    packed = gzip.compress(b"all")
    blob = await sent(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n" + packed)
    assert (blob.sha256, blob.sent) == tuple(hashlib.sha256(one).hexdigest() for one in (b"all", packed))
    assert (await sent(b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\nall")).phase == "unreachable"
