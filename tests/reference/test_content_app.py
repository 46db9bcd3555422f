from __future__ import annotations

import hashlib

import httpx
import pytest

from reference_impl.common_core.enums import ContentType
from reference_impl.content_service.app import build_app
from reference_impl.content_service.core_logic import BlobStore
from reference_impl.service_libs.content_client import ContentClient
from reference_impl.service_libs.errors import ContentMissing, ContentUnavailable


@pytest.fixture
async def app(tmp_path, clock):
    blobs = BlobStore(tmp_path, clock)
    await blobs.start()
    return build_app(blobs, max_blob_bytes=1000)


@pytest.fixture
async def http(app):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://content") as client:
        yield client


async def test_a_blob_is_stored_and_given_back(http):
    stored = await http.post("/v1/content?content_type=raw_upload_blob", content=b"\x00\r\n\xff")
    assert stored.json() == {"storage_id": hashlib.sha256(b"\x00\r\n\xff").hexdigest()}
    got = await http.get(f"/v1/content/{stored.json()['storage_id']}")
    assert (got.status_code, got.content) == (200, b"\x00\r\n\xff")


@pytest.mark.parametrize("name", ["0" * 64, "nothing", "..%2f..%2fetc%2fpasswd"])
async def test_what_is_not_there_is_a_404_in_json(http, name):
    answer = await http.get(f"/v1/content/{name}")
    assert answer.status_code == 404
    assert set(answer.json()) == {"error", "detail"}


@pytest.mark.parametrize(
    ("query", "content", "status"),
    [("?content_type=raw_upload_blob", b"x" * 1001, 413), ("", b"x", 400), ("?content_type=none", b"x", 400)],
)
async def test_a_bad_store_is_refused_in_json(http, tmp_path, query, content, status):
    answer = await http.post(f"/v1/content{query}", content=content)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "detail"}
    assert list(tmp_path.iterdir()) == []


async def test_a_full_disk_is_no_client_error(http, monkeypatch):
    async def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(BlobStore, "put", refuse)
    answer = await http.post("/v1/content?content_type=raw_upload_blob", content=b"x")
    assert (answer.status_code, answer.json()["error"]) == (507, "not_stored")


async def test_it_is_alive_and_ready(http):
    assert (await http.get("/healthz")).status_code == (await http.get("/readyz")).status_code == 200


@pytest.fixture
async def client(app):
    client = ContentClient("http://content", timeout_seconds=5)
    await client.stop()
    client._http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://content")
    yield client
    await client.stop()


async def test_the_client_stores_and_fetches(client):
    await client.start()
    assert client.reached
    storage_id = await client.store_content(b"text", ContentType.EXTRACTED_PLAINTEXT)
    assert await client.fetch_content(storage_id) == b"text"


async def test_the_client_says_that_a_blob_is_missing(client):
    with pytest.raises(ContentMissing):
        await client.fetch_content("0" * 64)


async def test_the_client_notices_rotten_bytes(client, tmp_path):
    storage_id = await client.store_content(b"text", ContentType.EXTRACTED_PLAINTEXT)
    (tmp_path / storage_id).write_bytes(b"tExt")
    with pytest.raises(ContentMissing, match="other bytes"):
        await client.fetch_content(storage_id)


async def test_a_refusal_by_the_disk_is_no_verdict_on_the_bytes(client, monkeypatch):
    async def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(BlobStore, "put", refuse)
    with pytest.raises(ContentUnavailable, match="507"):
        await client.store_content(b"text", ContentType.RAW_UPLOAD_BLOB)


async def test_a_service_that_is_not_there_is_unavailable():
    client = ContentClient("http://127.0.0.1:1", timeout_seconds=5)
    with pytest.raises(ContentUnavailable):
        await client.start()
    assert not client.reached
    await client.stop()
