from __future__ import annotations

import hashlib

import httpx
import pytest

from reference_impl.content_service.app import build_app
from reference_impl.content_service.core_logic import BlobStore


@pytest.fixture
async def app(tmp_path, clock):
    blobs = BlobStore(tmp_path, clock)
    blobs.start()
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
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(BlobStore, "put", refuse)
    answer = await http.post("/v1/content?content_type=raw_upload_blob", content=b"x")
    assert (answer.status_code, answer.json()["error"]) == (507, "not_stored")


async def test_it_is_alive_and_ready(http):
    assert (await http.get("/healthz")).status_code == (await http.get("/readyz")).status_code == 200
