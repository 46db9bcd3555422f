from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import NoResultFound, OperationalError

from reference_impl.file_service import store
from reference_impl.file_service.app import build_app
from reference_impl.file_service.config import FileServiceSettings
from reference_impl.file_service.core_logic import UploadDesk
from reference_impl.file_service.store import UploadStore

LIMIT = 10_000


SETTINGS = FileServiceSettings(
    port=1,
    kafka="127.0.0.1:1",
    content_url="http://content",
    database_url="sqlite://",
    max_upload_bytes=LIMIT,
    max_unpacked_bytes=100_000,
    extractor_version=2,
)


async def nothing_needed():
    return {}


@pytest.fixture
def uploads(database, the_outbox, clock):
    return UploadStore(SETTINGS, database, the_outbox, clock)


@pytest.fixture
async def http(content, uploads):
    app = build_app(UploadDesk(SETTINGS, content, uploads), nothing_needed)
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
        ({"name": "a" * 8_000 + ".txt"}, 400, "bad_name"),
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


@pytest.mark.parametrize(
    "name",
    [
        "Räksmörgås (final).txt",
        "论文.TXT",
        "a" * 251 + ".txt",
        "100%.txt",
        "-.txt",
        "می\u200cخواهم.txt",  # noqa: RUF001 - Persian, with a non-joiner
        "PDF\u200cها.pdf",  # noqa: RUF001
        "ශ්\u200dරී ලංකා.txt",  # Sinhala, with a joiner
        "ᠭᠠᠵᠠᠷ\u180eᠠ.txt",  # Mongolian, with its vowel separator
        "❤\ufe0f\u200d🔥 1\ufe0f⃣.txt",
        "葛\U000e0100城.docx",  # Han, in the form that the selector names
        "\u115f\u1161.txt",  # half a syllable of Hangul
        "\u3164가.txt",
        "⠓⠑⠚\u2800⠓⠑⠚.txt",  # Braille, with a blank
        "سورة \u06dd.txt",
        "עברית ועוד.txt",
        "e\u0301.txt",
        "\ue000\ufffd\U0003ffff.txt",  # private, replaced and unassigned
    ],
)
async def test_an_ordinary_name_of_any_script_is_taken(post, rows, name):
    assert (await post(name=name)).status_code == 202


@pytest.mark.parametrize(
    "name",
    [
        *(
            f"a{hidden}b.txt"
            for hidden in (
                *"\u00ad\u061c\u200b\u200e\u200f\u2028\u2029\u2060\ufeff\ufff9\u2065\ufff0\U000e0001\U000e0061\U000e0fff",
                *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
                "\u200c\u200d\u200c",
                "\ufe00\U000e0100\ufe0f",
            )
        ),
        *(
            f"{unseen}.txt"
            for unseen in (
                *" \t\u00a0\u2003\u3000\u200b\u200c\u200d\u3164\u115f\u1160\uffa0\u2800\ufe0f\u180e",
                " \u200d\u3164",
            )
        ),
        "\u3164.TXT",
        "\u2800.Pdf",
        "xcod\u202eexe.docx",
        "a%E2%80%AEtxt.pdf",
        "%E2%80%8B.txt",
        "%20.txt",
        "%E3%85%A4.txt",
        "%2e",
        ".",
        "..",
    ],
)
async def test_a_name_that_hides_something_is_refused(post_raw, content, name):
    answer = await post_raw(name.encode())
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_name")
    assert content.blobs == {}


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


FORM = "multipart/form-data; boundary=b"
FIELD = b'Content-Disposition: form-data; name="file"; filename="a.txt"'
PART = b"--b\r\n" + FIELD + b"\r\n\r\nhej\r\n"
BATCH_ID, BATCH_SIZE = (
    b'--b\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n' + value + b"\r\n"
    for name, value in ((b"batch_id", b"b"), (b"batch_size", b"2"))
)
END = b"--b--\r\n"


@pytest.fixture
def post_form(http):
    """A body and its type as they are."""

    async def send(content_type, body):
        headers = {"Idempotency-Key": "u1", "Content-Type": content_type}
        return await http.post("/v1/files", content=body, headers=headers)

    return send


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, PART + END),
        ("Multipart/Form-Data; boundary=b", PART + END),
        ("MULTIPART/FORM-DATA;BOUNDARY=b", PART + END),
        ('multipart/form-data; charset=utf-8 ; boundary = "b"', PART + END),
        ("multipart/form-data; boundary=b; charset=utf-8;", PART + END),
        (
            'multipart/form-data; boundary="it is: a/b=\\"c\\""',
            (PART + END).replace(b"--b", b'--it is: a/b="c"'),
        ),
        (FORM, b"a preamble - or two\r\n" + PART + END),
        (FORM, b"\r\n" + PART + END),
        (FORM, b"--bb\r\n --b\r\n" + PART + END),
        (FORM, PART + END + b"an epilogue\r\n" + BATCH_ID),
        (FORM, PART + b"--b--"),
        (FORM, PART + b"--b-- \t\r\n"),
        (FORM, (BATCH_ID + PART + BATCH_SIZE).replace(b"--b\r\n", b"--b \t\r\n") + END),
        (FORM, PART.replace(b"Content-Disposition: form-data", b"CONTENT-disposition:Form-Data") + END),
        (FORM, PART.replace(b"; name", b";\r\n\tname") + END),
        (FORM, PART.replace(b'name="file"; filename="a.txt"', b"filename=a.txt ; NAME = file") + END),
        (FORM, PART.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain\r\nX-Other: 1\r\n\r\n") + END),
        (FORM, PART.replace(b"\r\n\r\n", b"\r\ncontent-transfer-encoding: Binary\r\n\r\n") + END),
        (FORM, PART.replace(b"; filename", b"; filename*=UTF-8''b.exe; filename") + END),
        (FORM, BATCH_SIZE + PART + BATCH_ID + END),
    ],
)
async def test_a_form_by_its_standards_is_taken(*, post_form, content, rows, content_type, body):
    answer = await post_form(content_type, body)
    assert (answer.status_code, answer.text) == (202, answer.text)
    assert list(content.blobs.values()) == [b"hej"]
    batch = ("b", 2) if b"batch_id" in body.partition(b"--b--")[0] else ("upload u1", 1)
    assert await rows("SELECT file_name, batch_id, batch_size FROM upload") == [("a.txt", *batch)]


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("Räksmörgås.txt", "Räksmörgås.txt"),
        ("a;b.txt", "a;b.txt"),
        ('a\\"b.txt', 'a"b.txt'),
        ("a=b; filename=c.txt", "a=b; filename=c.txt"),
        ("a%22b.txt", "a%22b.txt"),
    ],
)
async def test_a_name_is_read_as_it_was_sent(post_raw, rows, sent, name):
    assert (await post_raw(sent.encode())).status_code == 202
    assert await rows("SELECT file_name FROM upload") == [(name,)]


@pytest.mark.parametrize(
    "file",
    [
        b"\r\n--bb\r\n--b2--\r\n--b-x\r\n--b--x\r\n--\r\n --b\r\n",
        b"a\n--b\nb\r--b\r\n\r\n--B--",
        b"\r\n\r\n",
        b"\x00\xff\r\n--b\x00\r\n",
    ],
)
async def test_what_looks_like_a_boundary_in_a_file_is_the_file_s(post_form, content, file):
    assert (await post_form(FORM, PART.replace(b"hej", file) + END)).status_code == 202
    assert list(content.blobs.values()) == [file]


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("", PART + END, 415),
        ("application/json", b"{}", 415),
        ("multipart/form-data-2; boundary=b", PART + END, 415),
        ("multipart/mixed; boundary=b", PART + END, 415),
        ("multipart/form-data", b"", 400),
        ("multipart/form-data", PART + END, 400),
        ('multipart/form-data; boundary=""', (PART + END).replace(b"--b", b"--"), 400),
        ("multipart/form-data; boundary=b; boundary=b", PART + END, 400),
        (FORM, b"junk", 400),
        (FORM, b"", 400),
        (FORM, END, 400),
        (FORM, b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.t', 400),
        (FORM, b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--b--', 400),
        # without its end a body may be any part of what was sent
        (FORM, PART, 400),
        (FORM, PART + b"--b", 400),
        (FORM, PART + b"--b-", 400),
        (FORM, PART + BATCH_ID + BATCH_SIZE, 400),
        (FORM, PART + BATCH_ID[:-5], 400),
        # which of two is meant nobody knows
        (FORM, PART + PART.replace(b"hej", b"other") + END, 400),
        (FORM, PART + PART.replace(b'; filename="a.txt"', b"") + END, 400),
        (FORM, PART + BATCH_ID + BATCH_ID + BATCH_SIZE + END, 400),
        (FORM, PART + PART.replace(b'"file"', b'"other"') + END, 400),
        (FORM, PART.replace(b"; filename", b'; filename="b.txt"; filename') + END, 400),
        (FORM, PART.replace(FIELD, FIELD + b"\r\n" + FIELD) + END, 400),
        (FORM, PART + END.replace(b"--b", b"--B"), 400),
        (FORM, PART.replace(b"hej", b"--b\r\n") + END, 400),  # a delimiter must not be in a file: no guesses
        (FORM, PART.replace(b'"a.txt"', b"my own.txt") + END, 400),
        (FORM, PART.replace(b'"a.txt"', b'"a.txt') + END, 400),
        (FORM, PART.replace(b"filename=", b"filename*=UTF-8''") + END, 400),
        (FORM, PART.replace(b"a.txt", b"\xff.txt") + END, 400),
        (FORM, PART + BATCH_ID.replace(b"\r\nb\r\n", b"\r\n\xff\r\n") + BATCH_SIZE + END, 400),
        (FORM, PART.replace(b"form-data", b"attachment") + END, 400),
        (FORM, PART.replace(b'name="file"; ', b"") + END, 400),
        (FORM, PART.replace(FIELD, b"X: y") + END, 400),
        (FORM, PART.replace(FIELD + b"\r\n", b"") + END, 400),
        (FORM, PART.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n") + END, 400),
        (FORM, b"".join(BATCH_ID.replace(b"batch_id", b"f%d" % n) for n in range(16)) + PART + END, 400),
    ],
)
async def test_a_body_that_is_no_upload_is_refused(*, post_form, content, content_type, body, status):
    answer = await post_form(content_type, body)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "detail"}
    assert content.blobs == {}


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
    assert await rows("SELECT batch_id, batch_size, extractor_version FROM upload") == [("upload u1", 1, 2)]
    assert await rows("SELECT * FROM upload_batch") == [("upload u1", 1, 1)]


async def test_a_batch_that_a_client_named_as_another_upload_refuses_it_not(post):
    await post(key="u1", batch_id="u2", batch_size="1")
    assert (await post(key="u2")).status_code == 202


async def test_a_key_with_a_slash_can_be_reprocessed(post, http):
    await post(key="a/b")
    assert (await http.post("/v1/files/a%2Fb/reprocess")).status_code in {202, 409}


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
    provisioned = text("UPDATE upload SET status = 'provisioned'")
    await uploads.database.write(lambda transaction: transaction.execute(provisioned))
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


async def test_an_upload_that_is_not_recorded_is_not_accepted(*, post, rows, monkeypatch):
    """Neither inserted nor there: it cannot happen, and a 202 would be a lie."""
    monkeypatch.setattr(store, "insert_if_absent", lambda *_, **__: False)
    with pytest.raises(NoResultFound):
        await post()
    assert await rows("SELECT 1 FROM upload") == []


@pytest.mark.parametrize("upload_id", ["%00", "a%00b", "%20", "%C3%A5", "x" * 256])
async def test_what_is_no_key_names_no_upload(*, reprocess, upload_id):
    """Postgres takes no NUL."""
    answer = await reprocess(upload_id)
    assert (answer.status_code, answer.json()["error"]) == (404, "unknown_upload")


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
    app = build_app(UploadDesk(SETTINGS, content, uploads), nothing_needed)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://file") as http:
        answer = await http.post("/v1/files", files={"file": ("a.txt", b"hej")}, headers={"Idempotency-Key": "u1"})
    assert (answer.status_code, answer.json()["error"]) == (500, "internal")
