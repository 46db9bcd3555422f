from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reference_impl.common_core.enums import ContentType
from reference_impl.common_core.event_ids import digest
from reference_impl.common_core.events import UPLOAD_OUTCOMES
from reference_impl.file_service import store
from reference_impl.file_service.config import FileServiceSettings
from reference_impl.file_service.document import NEWEST
from reference_impl.file_service.reprocess import main
from reference_impl.file_service.store import UPLOAD, Upload, UploadStore, reprocess
from reference_impl.file_service.worker import Worker
from reference_impl.service_libs import ledger
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.idempotency import idempotent_consumer
from reference_impl.service_libs.message import Delivery

ALL = UPLOAD.c.received_at >= datetime(2000, 1, 1, tzinfo=UTC)
RAW = b"a\n\n\n\nb"


@pytest.fixture
def worker(*, database, the_outbox, content, clock, backoff, extractor):
    settings = FileServiceSettings(
        port=1, kafka="127.0.0.1:1", content_url="http://content", database_url="sqlite:///db"
    )
    uploads = UploadStore(settings, database, the_outbox, clock)
    return Worker(settings, uploads, content, extractor, clock, backoff)


@pytest.fixture
def take(worker, content):
    async def record(key="u1", *, finished=True):
        raw = await content.store_content(RAW, ContentType.RAW_UPLOAD_BLOB)
        upload = await worker.uploads.record(Upload(key, "a.txt", raw, key, 1, extractor_version=1))
        if finished:
            await worker.finish(upload)

    return record


@pytest.fixture
def outcomes(rows):
    async def read():
        return [json.loads(value) for (value,) in await rows("SELECT value FROM outbox ORDER BY entry")]

    return read


async def test_its_outcome_is_another_fact_and_the_old_one_stays(*, take, database, clock, worker, outcomes, content):
    await take()
    assert await reprocess(database, clock, UPLOAD.c.upload_id == "u1", 2) == {"u1": True}
    (again,) = await worker.uploads.claim(10, 10)
    await worker.finish(again)
    old, new = await outcomes()
    assert old["event_id"] != new["event_id"]
    assert digest(old["data"]) != digest(new["data"])
    assert [event["data"]["extractor_version"] for event in (old, new)] == [1, 2]
    assert content.blobs[old["data"]["text_storage_id"]] == RAW
    assert content.blobs[new["data"]["text_storage_id"]] == b"a\n\nb"


async def test_with_the_same_version_it_is_another_fact_all_the_same_and_says_so(
    *, take, database, clock, worker, outcomes
):
    await take()
    await reprocess(database, clock, ALL, 1)
    await worker.finish(*await worker.uploads.claim(10, 10))
    old, new = await outcomes()
    assert old["data"] | {"occurrence": 2} == new["data"]
    assert old["event_id"] != new["event_id"]


async def test_a_consumer_does_not_take_it_for_a_duplicate(*, take, database, clock, worker, rows, idempotency):
    await take()
    await reprocess(database, clock, ALL, 1)
    await worker.finish(*await worker.uploads.claim(10, 10))
    told = [value for (value,) in await rows("SELECT value FROM outbox ORDER BY entry")]

    async def handler(message):
        return lambda transaction: ledger.record(transaction, message, message.event.data.upload_id)

    consume = idempotent_consumer(idempotency, consumer="c", accepts=UPLOAD_OUTCOMES)(handler)
    for offset, value in enumerate([*told, *told]):
        await consume(Delivery("essays", 0, offset, b"u1", value))
    effects = await rows("SELECT event_id, business_key FROM effect_ledger")
    assert len(set(effects)) == len(effects) == 2


async def test_a_worker_that_is_still_at_the_old_one_cannot_close_the_new_one(
    *, take, database, clock, worker, outcomes, rows
):
    await take(finished=False)
    (slow,) = await worker.uploads.claim(10, 10)
    await worker.finish(slow)
    await reprocess(database, clock, ALL, 2)
    await worker.finish(slow)
    await worker.uploads.release(slow, 1000)
    assert len(await outcomes()) == 1
    assert await rows("SELECT status, claims FROM upload") == [("received", 0)]
    assert [upload.occurrence for upload in await worker.uploads.claim(10, 10)] == [2]


async def test_an_upload_without_its_outcome_is_left(take, database, clock, rows):
    await take("u1", finished=False)
    await take("u2")
    assert await reprocess(database, clock, ALL, 2) == {"u1": False, "u2": True}
    assert await rows("SELECT upload_id, occurrence, extractor_version FROM upload ORDER BY 1") == [
        ("u1", 1, 1),
        ("u2", 2, 2),
    ]


async def test_the_running_worker_takes_it_up(*, take, database, clock, worker, the_outbox, until, outcomes):
    worker.settings = worker.settings.model_copy(update={"worker_poll_seconds": 0.01})
    await take()
    the_outbox.added.clear()
    task = asyncio.create_task(worker.run())
    await reprocess(database, clock, ALL, 2)
    await until(the_outbox.added.is_set)
    task.cancel()
    await asyncio.wait([task])
    assert [event["data"]["extractor_version"] for event in await outcomes()] == [1, 2]


@pytest.fixture
def uploads_at(tmp_path, monkeypatch, capsys):
    """A database with an upload for each (id, when it was received, status); ``DATABASE_URL`` names it, and only that."""
    url = f"sqlite:///{tmp_path}/uploads"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.delenv("PORT", raising=False)

    async def fill(uploads):
        database = Database(url, [store.MIGRATION])
        await database.start()
        rows = [
            {
                "upload_id": upload_id,
                "file_name": "a.txt",
                "raw_file_storage_id": "a" * 64,
                "batch_id": upload_id,
                "batch_size": 1,
                "extractor_version": 1,
                "occurrence": 1,
                "status": status,
                "received_at": datetime.fromisoformat(received_at),
                "claimed_until": datetime.fromisoformat(received_at),
                "claims": 0,
            }
            for upload_id, received_at, status in uploads
        ]
        if rows:
            await database.write(lambda transaction: transaction.execute(UPLOAD.insert(), rows))
        await database.stop()

    async def read():
        database = Database(url, [store.MIGRATION])
        asked = "SELECT upload_id, occurrence, extractor_version FROM upload ORDER BY 1"
        found = await database.read(lambda connection: [tuple(row) for row in connection.exec_driver_sql(asked)])
        await database.stop()
        return found

    def make(*uploads):
        asyncio.run(fill(uploads))
        capsys.readouterr()
        return lambda: asyncio.run(read())

    return make


def test_one_upload_by_its_id(uploads_at, capsys):
    read = uploads_at(("u1", "2024-01-01T00:00+00:00", "failed"), ("u2", "2024-01-01T00:00+00:00", "failed"))
    assert main(["--upload", "u1"]) == 0
    assert capsys.readouterr().out == "u1: to be extracted again\n"
    assert read() == [("u1", 2, NEWEST), ("u2", 1, 1)]


@pytest.mark.parametrize("since", ["2024-01-02", "2024-01-02T00:00:00Z", "2024-01-02T05:00:00+05:00"])
def test_all_since_a_moment(uploads_at, capsys, since):
    read = uploads_at(
        ("old", "2024-01-01T23:59:59+00:00", "failed"), ("new", "2024-01-02T00:00+00:00", "provisioned")
    )
    assert main(["--all", "--since", since, "--extractor-version", "1"]) == 0
    assert capsys.readouterr().out == "new: to be extracted again\n"
    assert read() == [("new", 2, 1), ("old", 1, 1)]


def test_what_is_left_is_said_and_is_status_1(uploads_at, capsys):
    read = uploads_at(("u1", "2024-01-01T00:00+00:00", "received"), ("u2", "2024-01-01T00:00+00:00", "failed"))
    assert main(["--all", "--since", "2024-01-01"]) == 1
    assert capsys.readouterr().out == "u1: left: it has no outcome yet\nu2: to be extracted again\n"
    assert read() == [("u1", 1, 1), ("u2", 2, NEWEST)]


def test_an_unknown_upload_is_status_1(uploads_at, capsys):
    uploads_at()
    assert main(["--upload", "nobody"]) == 1
    assert "no upload 'nobody'" in capsys.readouterr().err


def test_nothing_since_is_nothing_to_do(uploads_at):
    uploads_at(("u1", "2024-01-01T00:00+00:00", "failed"))
    assert main(["--all", "--since", "2030-01-01"]) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--all"],
        ["--since", "2024-01-01"],
        ["--upload", "u1", "--since", "2024-01-01"],
        ["--upload", "u1", "--all", "--since", "2024-01-01"],
        ["--all", "--since", "yesterday"],
        ["--all", "--since", "0001-01-01T00:00:00+05:00"],
        ["--upload", "u1", "--extractor-version", str(NEWEST + 1)],
        ["--upload", "u1", "--extractor-version", "0"],
    ],
)
def test_wrong_usage_is_status_2_and_changes_nothing(uploads_at, arguments):
    read = uploads_at(("u1", "2024-01-01T00:00+00:00", "failed"))
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert read() == [("u1", 1, 1)]


def test_without_a_database_it_is_status_2_and_says_which_variable(monkeypatch, capsys):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["--upload", "u1"])
    assert ended.value.code == 2
    assert "reprocess: environment variable DATABASE_URL: Field required" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["oracle://somewhere", "no url"])
def test_an_url_of_no_database_is_status_2(monkeypatch, capsys, url):
    monkeypatch.setenv("DATABASE_URL", url)
    assert main(["--upload", "u1"]) == 2
    assert "DATABASE_URL" in capsys.readouterr().err


def run(*arguments, database):
    return subprocess.run(
        [sys.executable, "-m", "reference_impl.file_service", *arguments],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": database},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_needs_no_other_variable(tmp_path):
    asked = run("reprocess", "--all", "--since", "2024-01-01", database=f"sqlite:///{tmp_path}/uploads")
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "", "")


def test_a_database_that_cannot_be_opened_is_status_2():
    asked = run("reprocess", "--upload", "u1", database="sqlite:////nowhere/at/all")
    assert asked.returncode == 2
    assert "reprocess: the database at DATABASE_URL could not be used, and nothing was changed" in asked.stderr


def test_another_command_is_refused_and_starts_no_service():
    asked = run("reproces", database="sqlite://")
    assert asked.returncode == 2
    assert "its one command is: reprocess" in asked.stderr


def test_its_help_has_examples(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "--all --since 2026-01-31T08:00:00Z" in capsys.readouterr().out
