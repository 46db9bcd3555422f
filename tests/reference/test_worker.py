from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from datetime import timedelta

import pytest

from reference_impl.common_core.enums import ContentType
from reference_impl.file_service import worker as workers
from reference_impl.file_service.config import FileServiceSettings
from reference_impl.file_service.document import NEWEST
from reference_impl.file_service.store import Upload, UploadStore
from reference_impl.file_service.worker import Worker
from reference_impl.service_libs.outbox import Outbox

PROVISIONED = "huleedu.file.essay_content.provisioned.v1"
FAILED = "huleedu.file.essay_validation.failed.v1"


@pytest.fixture
def settings():
    return FileServiceSettings(
        port=1, kafka="127.0.0.1:1", content_url="http://content", database_url="sqlite:///db", claim_seconds=10
    )


@pytest.fixture
def make_worker(settings, content, clock, backoff, extractor):
    def make(database):
        uploads = UploadStore(settings, database, Outbox(database), clock)
        return Worker(settings, uploads, content, extractor, clock, backoff)

    return make


@pytest.fixture
def worker(make_worker, database):
    return make_worker(database)


@pytest.fixture
def take(worker, content):
    async def record(raw=b"hej hej", name="a.txt", key="u1", version=NEWEST):
        raw_id = await content.store_content(raw, ContentType.RAW_UPLOAD_BLOB)
        return await worker.uploads.record(Upload(key, name, raw_id, f"b-{key}", 1, version))

    return record


@pytest.fixture
def outcomes(rows):
    async def read():
        return [json.loads(value) for (value,) in await rows("SELECT value FROM outbox ORDER BY entry")]

    return read


async def test_an_upload_that_passes_is_provisioned(take, worker, outcomes, content):
    upload = await take("Räka\r\n".encode("utf-16"))
    await worker.finish(upload)
    (event,) = await outcomes()
    assert event["event_type"] == PROVISIONED
    assert event["data"]["upload_id"] == event["correlation_id"] == "u1"
    assert event["data"]["raw_file_storage_id"] == upload.raw_file_storage_id
    assert content.blobs[event["data"]["text_storage_id"]] == "Räka\r\n".encode()
    told = {name: event["data"][name] for name in ("batch_id", "batch_size", "extractor_version")}
    assert told == {"batch_id": "b-u1", "batch_size": 1, "extractor_version": NEWEST}
    assert content.kinds == ["raw_upload_blob", "extracted_plaintext"]


@pytest.mark.parametrize(
    ("raw", "name", "reason"),
    [(b" \n", "a.txt", "no_text"), (b"x" * 1001, "a.txt", "too_long"), (b"junk", "a.docx", "damaged")],
)
async def test_an_upload_that_does_not_pass_fails_and_keeps_its_raw_blob(
    *, take, worker, outcomes, content, raw, name, reason
):
    upload = await take(raw, name)
    await worker.finish(upload)
    (event,) = await outcomes()
    assert (event["event_type"], event["data"]["reason"]) == (FAILED, reason)
    assert content.blobs == {upload.raw_file_storage_id: raw}


async def test_an_upload_has_one_outcome_however_often_it_is_worked_on(take, worker, outcomes):
    upload = await take()
    await asyncio.gather(*(worker.finish(upload) for _ in range(5)))
    assert len(await outcomes()) == 1


async def test_work_done_again_gives_the_same_event(take, worker, outcomes, database):
    upload = await take()
    await worker.finish(upload)
    await database.write(lambda transaction: transaction.exec_driver_sql("UPDATE upload SET status = 'received'"))
    await worker.finish(upload)
    first, second = await outcomes()
    assert (first["event_id"], first["data"]) == (second["event_id"], second["data"])


async def test_data_hold_no_clock(take, worker, outcomes, clock):
    await worker.finish(await take(key="u1"))
    clock.pass_seconds(1000)
    await worker.finish(await take(key="u2"))
    first, second = [event["data"] | {"upload_id": "", "batch_id": ""} for event in await outcomes()]
    assert first == second


async def test_an_upload_is_claimed_by_one_replica_at_a_time(take, worker, make_worker, open_database):
    for n in range(10):
        await take(key=f"u{n}")
    other_database = open_database()
    await other_database.start()
    other = make_worker(other_database)
    claims = await asyncio.gather(worker.uploads.claim(10, 10), other.uploads.claim(10, 10))
    names = [upload.upload_id for claim in claims for upload in claim]
    assert sorted(names) == sorted(set(names))
    assert len(names) == 10


async def test_the_oldest_are_claimed_first(take, worker, clock):
    for n in (3, 1, 2):
        clock.pass_seconds(1)
        await take(key=f"u{n}")
    assert {upload.upload_id for upload in await worker.uploads.claim(2, 10)} == {"u3", "u1"}


async def test_what_a_dead_replica_claimed_is_claimed_again_when_its_time_is_over(take, worker, clock):
    await take()
    assert len(await worker.uploads.claim(10, 10)) == 1
    assert await worker.uploads.claim(10, 10) == []
    clock.pass_seconds(11)
    assert len(await worker.uploads.claim(10, 10)) == 1


async def test_a_claim_made_before_the_clock_stepped_back_is_free_at_once(take, worker, clock):
    await take()
    assert len(await worker.uploads.claim(10, 10)) == 1
    await take(key="recorded")
    clock.time -= timedelta(minutes=30)
    assert {upload.upload_id for upload in await worker.uploads.claim(10, 10)} == {"u1", "recorded"}
    assert await worker.uploads.claim(10, 10) == []


async def test_a_replica_whose_clock_is_behind_does_not_take_a_fresh_claim(take, worker, clock):
    await take()
    assert len(await worker.uploads.claim(10, 10)) == 1
    clock.time -= timedelta(seconds=5)
    assert await worker.uploads.claim(10, 10) == []


async def test_a_release_made_before_the_clock_stepped_back_delays_nothing(take, worker, clock):
    await take()
    (claimed,) = await worker.uploads.claim(10, 10)
    await worker.uploads.release(claimed, 10)
    assert await worker.uploads.claim(10, 10) == []
    clock.time -= timedelta(minutes=30)
    assert len(await worker.uploads.claim(10, 10)) == 1


async def test_it_works_at_once_on_what_is_recorded(take, worker, database, the_outbox, until):
    worker.settings = worker.settings.model_copy(update={"worker_poll_seconds": 1000})
    task = asyncio.create_task(worker.run())
    await take()
    await until(worker.uploads.outbox.added.is_set)
    task.cancel()
    await asyncio.wait([task])


async def test_an_outage_of_the_content_service_is_never_a_failed_validation(
    *, take, worker, outcomes, content, clock, until
):
    await take()
    content.down = True
    task = asyncio.create_task(worker.run())
    await until(lambda: worker._failures)
    assert await outcomes() == []
    content.down = False
    clock.pass_seconds(1000)
    await until(worker.uploads.outbox.added.is_set)
    task.cancel()
    await asyncio.wait([task])
    (event,) = await outcomes()
    assert event["event_type"] == PROVISIONED


@pytest.fixture
def stuck(content, monkeypatch):
    """Has the worker's calls of the content service hang, as long as the context lasts; gives what says that one does."""

    @contextmanager
    def hanging():
        entered = asyncio.Event()

        async def hang(_):
            entered.set()
            await asyncio.Event().wait()

        with monkeypatch.context() as patched:
            patched.setattr(content, "fetch_content", hang)
            yield entered

    return hanging


async def test_however_often_a_worker_is_stopped_in_order_each_claim_is_given_back(
    *, take, worker, stuck, clock, outcomes, rows
):
    await take()
    for _ in range(worker.settings.max_claims + 5):
        with stuck() as entered:
            task = asyncio.create_task(worker.run())
            async with asyncio.timeout(30):
                await entered.wait()
            task.cancel()
            await asyncio.wait([task])
        clock.pass_seconds(11)  # a claim that was not given back would run out
    assert await rows("SELECT claims, status FROM upload") == [(0, "received")]
    (upload,) = await worker.uploads.claim(10, 10)
    await worker.finish(upload)
    (event,) = await outcomes()
    assert event["event_type"] == PROVISIONED


@pytest.mark.parametrize("where", ["claim", "release"])
async def test_a_claim_is_given_back_also_by_a_worker_that_is_stopped_while_the_database_is_at_it(
    *, take, worker, content, rows, monkeypatch, where
):
    await take()
    content.down = True  # so that it is released
    entered, go, real = asyncio.Event(), asyncio.Event(), getattr(worker.uploads, where)

    async def slow(*arguments, **options):
        result = await real(*arguments, **options) if where == "claim" else None
        entered.set()
        await go.wait()
        return result if where == "claim" else await real(*arguments, **options)

    monkeypatch.setattr(worker.uploads, where, slow)
    task = asyncio.create_task(worker.run())
    await entered.wait()
    task.cancel()
    await asyncio.wait([task], timeout=0.02)
    go.set()
    await asyncio.wait([task])
    assert await rows("SELECT claims, status FROM upload") == [(0, "received")]


async def test_each_upload_is_extracted_by_the_version_it_was_recorded_with(take, worker, outcomes, content):
    for version in (1, 2):
        await worker.finish(await take(b"a\n\n\n\nb", key=f"u{version}", version=version))
    texts = [content.blobs[event["data"]["text_storage_id"]] for event in await outcomes()]
    assert texts == [b"a\n\n\n\nb", b"a\n\nb"]
    assert [event["data"]["extractor_version"] for event in await outcomes()] == [1, 2]


async def test_a_version_of_a_newer_release_is_no_word_about_the_file(take, worker, outcomes):
    upload = await take(version=NEWEST + 1)
    with pytest.raises(KeyError):
        await worker.finish(upload)
    assert await outcomes() == []


async def test_an_upload_that_ends_every_process_is_given_up(take, worker, outcomes, clock, content):
    upload = await take()
    for _ in range(worker.settings.max_claims):
        (claimed,) = await worker.uploads.claim(10, 10)
        clock.pass_seconds(11)
    assert claimed.claims == worker.settings.max_claims
    (over,) = await worker.uploads.claim(10, 10)
    await worker.finish(over)
    (event,) = await outcomes()
    assert (event["event_type"], event["data"]["reason"]) == (FAILED, "damaged")
    assert "20 claims" in event["data"]["detail"]
    assert content.blobs.keys() == {upload.raw_file_storage_id}


async def test_the_last_claim_that_is_allowed_is_worked_on(take, worker, outcomes, clock):
    await take()
    for _ in range(worker.settings.max_claims):
        (claimed,) = await worker.uploads.claim(10, 10)
        clock.pass_seconds(11)
    await worker.finish(claimed)
    assert (await outcomes())[0]["event_type"] == PROVISIONED


async def test_an_outage_of_whatever_length_uses_up_no_claims(take, worker, content, clock, rows):
    await take()
    content.down = True
    for _ in range(worker.settings.max_claims + 5):
        (claimed,) = await worker.uploads.claim(10, 10)
        await worker._finish_or_release(claimed)
        clock.pass_seconds(10)
    assert await rows("SELECT claims, status FROM upload") == [(0, "received")]


async def test_failures_of_uploads_that_others_finish_are_forgotten(take, worker, content, monkeypatch):
    monkeypatch.setattr(workers, "_REMEMBERED", 3)
    uploads = [await take(key=f"u{number}") for number in range(5)]
    content.down = True
    for upload in uploads:
        await worker._finish_or_release(upload)
        await worker._finish_or_release(uploads[0])
    assert worker._failures == {"u3": 1, "u4": 1, "u0": 6}


async def test_a_claim_that_ran_out_is_given_back_without_touching_the_next_one(take, worker, clock, rows):
    await take()
    (slow,) = await worker.uploads.claim(10, 10)
    clock.pass_seconds(11)
    (other,) = await worker.uploads.claim(10, 10)
    before = await rows("SELECT claimed_until FROM upload")
    await worker.uploads.release(slow, 0)
    assert await rows("SELECT claimed_until FROM upload") == before
    assert await worker.uploads.claim(10, 10) == []
    await worker.uploads.release(other, 0)
    assert await rows("SELECT claims FROM upload") == [(0,)]
    assert len(await worker.uploads.claim(10, 10)) == 1


async def test_what_is_in_hand_is_not_claimed_again_by_the_same_worker(*, take, worker, content, clock, rows, until):
    worker.settings = worker.settings.model_copy(update={"worker_poll_seconds": 0.001})
    await take()
    entered, polled = asyncio.Event(), []
    claim = worker.uploads.claim

    async def hang(_):
        entered.set()
        await asyncio.Event().wait()

    async def counted(*arguments, **options):
        polled.append(1)
        return await claim(*arguments, **options)

    content.fetch_content, worker.uploads.claim = hang, counted
    task = asyncio.create_task(worker.run())
    await entered.wait()
    clock.pass_seconds(1000)
    so_far = len(polled)
    await until(lambda: len(polled) > so_far + 3)
    assert await rows("SELECT claims FROM upload") == [(1,)]
    task.cancel()
    await asyncio.wait([task])
