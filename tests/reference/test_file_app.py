from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from reference_impl.file_service.app import build_app
from reference_impl.file_service.core_logic import UploadDesk
from reference_impl.file_service.store import UploadStore

LIMIT = 10_000


@pytest.fixture
def uploads(database, the_outbox, clock):
    return UploadStore(database, the_outbox, clock, "essays")


@pytest.fixture
async def http(content, uploads):
    desk = UploadDesk(content, uploads, max_bytes=LIMIT, max_unpacked_bytes=100_000, extractor_version=2)
    app = build_app(desk, max_upload_bytes=LIMIT, needed={})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://file") as client:
        yield client


@pytest.fixture
def post(http):
    async def send(content=b"hej", name="a.txt", key="u1", **fields):
        headers = {"Idempotency-Key": key} if key is not None else {}
        return await http.post("/v1/files", files={"file": (name, content)}, data=fields, headers=headers)

    return send


@pytest.fixture
def post_raw(http):
    """A body as it is, with a file name that no client library would send."""

    async def send(name: bytes):
        disposition = b'Content-Disposition: form-data; name="file"; filename="' + name + b'"'
        body = b"--b\r\n" + disposition + b"\r\n\r\nhej\r\n--b--\r\n"
        headers = {"Idempotency-Key": "u1", "Content-Type": "multipart/form-data; boundary=b"}
        return await http.post("/v1/files", content=body, headers=headers)

    return send


def bomb():
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"0" * 1_000_000)
    return written.getvalue()


async def test_an_upload_is_taken_when_its_raw_blob_is_durable(post, content, rows):
    answer = await post(b"\x00hej\r\n\xff")
    raw = hashlib.sha256(b"\x00hej\r\n\xff").hexdigest()
    assert (answer.status_code, answer.json()) == (202, {"upload_id": "u1", "raw_file_storage_id": raw})
    assert content.blobs == {raw: b"\x00hej\r\n\xff"}
    assert content.kinds == ["raw_upload_blob"]
    assert await rows("SELECT upload_id, raw_file_storage_id, status FROM upload") == [("u1", raw, "received")]


async def test_the_same_key_and_bytes_give_the_same_answer(post, rows):
    first, again = await post(), await post()
    assert (again.status_code, again.json()) == (202, first.json())
    assert len(await rows("SELECT * FROM upload")) == 1


async def test_the_same_key_with_other_bytes_is_refused(post, content):
    await post(b"one")
    answer = await post(b"other")
    assert (answer.status_code, answer.json()["error"]) == (422, "key_reused")
    assert list(content.blobs.values()) == [b"one"]


async def test_the_same_bytes_under_another_key_are_another_upload(post, rows):
    await post(key="u1")
    await post(key="u2")
    assert len(await rows("SELECT * FROM upload")) == 2


@pytest.mark.parametrize(
    ("upload", "status", "error"),
    [
        ({"content": b""}, 400, "empty"),
        ({"content": b"x" * (LIMIT + 1)}, 413, "too_large"),
        ({"content": b"x" * 1_000_000}, 413, "too_large"),
        ({"content": bomb(), "name": "a.docx"}, 413, "zip_bomb"),
        ({"name": "../../etc/passwd"}, 400, "bad_name"),
        ({"name": "..\\..\\boot.txt"}, 400, "bad_name"),
        ({"name": "a\x00.txt"}, 400, "bad_name"),
        ({"name": "a\n.txt"}, 400, "bad_name"),
        ({"name": "a\x7f.txt"}, 400, "bad_name"),
        ({"name": "%2e%2e%2fpasswd.txt"}, 400, "bad_name"),
        ({"name": "a" * 252 + ".txt"}, 400, "bad_name"),
        ({"name": "a" * 10_000 + ".txt"}, 400, "bad_multipart"),
        ({"name": " "}, 400, "bad_name"),
        ({"name": ""}, 400, "no_file"),
        ({"name": "a.exe"}, 415, "unsupported_type"),
        ({"name": "txt"}, 415, "unsupported_type"),
        ({"key": None}, 400, "no_key"),
        ({"key": ""}, 400, "no_key"),
        ({"key": "a b"}, 400, "bad_key"),
        ({"key": "x" * 256}, 400, "bad_key"),
        ({"batch_id": "b"}, 400, "bad_batch"),
        ({"batch_size": "2"}, 400, "bad_batch"),
        ({"batch_id": "", "batch_size": "2"}, 400, "bad_batch"),
        ({"batch_id": "a b", "batch_size": "2"}, 400, "bad_batch"),
        ({"batch_id": "x" * 256, "batch_size": "2"}, 400, "bad_batch"),
        *(
            ({"batch_id": "b", "batch_size": size}, 400, "bad_batch")
            for size in ("", "0", "-1", "1.0", "1001", "01", "many", " 2", "\u0662", "9" * 5000)
        ),
    ],
)
async def test_a_bad_upload_is_refused_in_json_and_leaves_nothing(*, post, content, rows, upload, status, error):
    answer = await post(**upload)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["detail"]
    assert content.blobs == {}
    assert await rows("SELECT * FROM upload") == []


@pytest.mark.parametrize("name", [b"../../etc/passwd", b"a\x00.txt", b"a\x01.txt", b"a/b.txt"])
async def test_a_bad_name_on_the_wire_is_refused(post_raw, content, name):
    answer = await post_raw(name)
    assert answer.status_code == 400
    assert answer.json()["error"] in {"bad_name", "bad_multipart"}
    assert content.blobs == {}


@pytest.mark.parametrize("name", ["Räksmörgås (final).txt", "论文.TXT", "a" * 251 + ".txt", "100%.txt", "-.txt"])
async def test_an_odd_name_is_taken(post, name):
    assert (await post(name=name)).status_code == 202


async def test_exactly_the_limit_is_taken(post):
    assert (await post(b"x" * LIMIT)).status_code == 202


async def test_a_damaged_document_is_taken_and_kept(post, content):
    damaged = bomb()[:100]  # made once: an archive carries the time at which it was made
    assert (await post(damaged, "a.docx")).status_code == 202
    assert list(content.blobs.values()) == [damaged]


async def test_a_body_that_never_ends_is_refused_before_it_is_read(http):
    read = 0

    async def endless():
        nonlocal read
        while True:
            read += 1
            yield b"x" * 1000

    headers = {"Idempotency-Key": "u1", "Content-Type": "multipart/form-data; boundary=b"}
    answer = await http.post("/v1/files", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert read < 100


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data", b"", 400),
        ("multipart/form-data; boundary=b", b"junk", 400),
        ("multipart/form-data; boundary=b", b"", 400),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.t',
            400,
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--b--',
            400,
        ),
    ],
)
async def test_a_body_that_is_no_upload_is_refused(http, content_type, body, status):
    headers = {"Idempotency-Key": "u1", "Content-Type": content_type}
    answer = await http.post("/v1/files", content=body, headers=headers)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "detail"}


async def test_a_content_service_that_does_not_answer_is_a_503_and_records_nothing(post, content, rows):
    content.down = True
    answer = await post()
    assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert await rows("SELECT * FROM upload") == []


async def test_after_an_outage_the_same_upload_is_taken(post, content):
    content.down = True
    await post()
    content.down = False
    assert (await post()).status_code == 202


async def test_a_recorded_upload_needs_no_content_service_to_be_answered_again(post, content):
    first = await post()
    content.down = True
    assert (await post()).json() == first.json()


async def test_without_a_batch_an_upload_is_one_of_its_own(post, rows):
    await post()
    assert await rows("SELECT batch_id, batch_size, extractor_version FROM upload") == [("u1", 1, 2)]
    assert await rows("SELECT * FROM upload_batch") == [("u1", 1, 1)]


@pytest.mark.parametrize("size", [1, 2, 1000])
async def test_a_batch_has_the_size_it_says(post, rows, size):
    assert (await post(batch_id="b" * 255, batch_size=str(size))).status_code == 202
    assert await rows("SELECT * FROM upload_batch") == [("b" * 255, size, 1)]


async def test_a_batch_takes_no_more_than_its_size(post, rows, content):
    for key in ("u1", "u2"):
        assert (await post(key=key, batch_id="b", batch_size="2")).status_code == 202
    answer = await post(b"late", key="u3", batch_id="b", batch_size="2")
    assert (answer.status_code, answer.json()["error"]) == (422, "batch_full")
    assert await rows("SELECT upload_id FROM upload ORDER BY 1") == [("u1",), ("u2",)]
    assert b"late" in content.blobs.values()


async def test_a_batch_has_one_size(post, rows):
    await post(batch_id="b", batch_size="3")
    answer = await post(key="u2", batch_id="b", batch_size="2")
    assert (answer.status_code, answer.json()["error"]) == (422, "batch_size_differs")
    assert await rows("SELECT * FROM upload_batch") == [("b", 3, 1)]
    assert await rows("SELECT upload_id FROM upload") == [("u1",)]


async def test_many_at_once_do_not_overfill_a_batch(post, rows):
    answers = await asyncio.gather(*(post(key=f"u{n}", batch_id="b", batch_size="3") for n in range(10)))
    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [422] * 7
    assert await rows("SELECT * FROM upload_batch") == [("b", 3, 3)]


async def test_an_upload_sent_again_takes_one_place_and_has_one_answer(post, rows):
    first = await post(batch_id="b", batch_size="1")
    again = await post(batch_id="b", batch_size="1")
    assert (again.status_code, again.json()) == (202, first.json())
    both = await asyncio.gather(*(post(key="u2", batch_id="c", batch_size="1") for _ in range(5)))
    assert {answer.status_code for answer in both} == {202}
    assert await rows("SELECT * FROM upload_batch ORDER BY 1") == [("b", 1, 1), ("c", 1, 1)]


@pytest.mark.parametrize("batch", [{}, {"batch_id": "c", "batch_size": "2"}, {"batch_id": "b", "batch_size": "3"}])
async def test_the_same_key_in_another_batch_is_refused(post, rows, batch):
    await post(batch_id="b", batch_size="2")
    answer = await post(**batch)
    assert (answer.status_code, answer.json()["error"]) == (422, "key_reused")
    assert await rows("SELECT * FROM upload_batch") == [("b", 2, 1)]


async def test_it_wakes_the_worker(post, uploads):
    await post()
    assert uploads.recorded.is_set()


@pytest.fixture
def reprocess(http):
    async def ask(upload_id):
        return await http.post(f"/v1/files/{upload_id}/reprocess")

    return ask


async def test_an_upload_with_its_outcome_is_extracted_anew_when_asked(*, post, reprocess, uploads, rows):
    await post()
    await post(key="u2")
    async with uploads._database.transaction() as transaction:
        await transaction.execute(text("UPDATE upload SET status = 'provisioned'"))
    uploads.recorded.clear()
    answer = await reprocess("u1")
    assert (answer.status_code, answer.json()) == (202, {"upload_id": "u1"})
    assert await rows("SELECT upload_id, occurrence, status FROM upload ORDER BY 1") == [
        ("u1", 2, "received"),
        ("u2", 1, "provisioned"),
    ]
    assert uploads.recorded.is_set()


async def test_an_upload_that_cannot_be_extracted_anew_is_left(*, post, reprocess, rows):
    await post()
    for upload_id, status, error in (("u1", 409, "no_outcome_yet"), ("u2", 404, "unknown_upload")):
        answer = await reprocess(upload_id)
        assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert await rows("SELECT occurrence, status FROM upload") == [(1, "received")]


async def test_without_its_database_nobody_can_say_whether_it_was_asked_for(*, reprocess, uploads, monkeypatch):
    async def gone(*_):
        raise OperationalError("UPDATE", {}, OSError("gone"))

    monkeypatch.setattr(uploads, "again", gone)
    answer = await reprocess("u1")
    assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")


async def test_a_defect_of_ours_is_a_500_in_json(content, uploads, monkeypatch):
    async def broken(_):
        raise KeyError("a defect")

    monkeypatch.setattr(uploads, "find", broken)
    desk = UploadDesk(content, uploads, max_bytes=LIMIT, max_unpacked_bytes=100_000, extractor_version=2)
    transport = httpx.ASGITransport(build_app(desk, max_upload_bytes=LIMIT, needed={}), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://file") as http:
        answer = await http.post("/v1/files", files={"file": ("a.txt", b"hej")}, headers={"Idempotency-Key": "u1"})
    assert (answer.status_code, answer.json()["error"]) == (500, "internal")
