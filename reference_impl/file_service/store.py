"""Uploads in the database: recorded once, in a batch with room, claimed by one worker at a time, finished once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta

from sqlalchemy import Column, ColumnElement, DateTime, Index, Integer, String, Table, case, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateIndex, CreateTable

from reference_impl.common_core.envelope import EventEnvelope
from reference_impl.common_core.events import EventData
from reference_impl.service_libs.clock import Clock
from reference_impl.service_libs.database import METADATA, Database, Migration, insert_if_absent
from reference_impl.service_libs.outbox import Outbox

UPLOAD = Table(
    "upload",
    METADATA,
    Column("upload_id", String, primary_key=True),
    Column("file_name", String, nullable=False),
    Column("raw_file_storage_id", String, nullable=False),
    Column("batch_id", String, nullable=False),
    Column("batch_size", Integer, nullable=False),
    Column("extractor_version", Integer, nullable=False),
    Column("occurrence", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("claimed_until", DateTime(timezone=True), nullable=False),
    Column("claims", Integer, nullable=False),
)
_UNFINISHED = Index(
    "upload_unfinished",
    UPLOAD.c.received_at,
    sqlite_where=UPLOAD.c.status == "received",
    postgresql_where=UPLOAD.c.status == "received",
)

BATCH = Table(
    "upload_batch",
    METADATA,
    Column("batch_id", String, primary_key=True),
    Column("size", Integer, nullable=False),
    Column("uploads", Integer, nullable=False),
)

MIGRATION = Migration("upload", (CreateTable(UPLOAD), CreateIndex(_UNFINISHED), CreateTable(BATCH)))


class BatchRefused(Exception):
    """A batch has no place for an upload; ``error`` is the word for why."""

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(detail)
        self.error = error


@dataclass(frozen=True)
class Upload:
    """A recorded upload. ``claims`` are those, with the one in hand, that have not been given back."""

    upload_id: str
    file_name: str
    raw_file_storage_id: str
    batch_id: str
    batch_size: int
    extractor_version: int
    occurrence: int = 1
    claims: int = 0
    claimed_until: datetime | None = None


_FIELDS = tuple(UPLOAD.c[field.name] for field in fields(Upload))


class UploadStore:
    """The upload table. Methods raise what the database raises."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock, topic: str) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._topic = topic
        self.recorded = asyncio.Event()
        """Wakes the worker."""

    async def find(self, upload_id: str) -> Upload | None:
        """A recorded upload, if there is one."""
        async with self._database.reading() as connection:
            row = (await connection.execute(select(*_FIELDS).where(UPLOAD.c.upload_id == upload_id))).one_or_none()
        return Upload(*row) if row is not None else None

    async def record(self, upload: Upload) -> Upload:
        """Record an upload unless its id is known; what is recorded now.

        Raises ``BatchRefused``, and then nothing is recorded.
        """
        now = self._clock.now()
        row = asdict(upload) | {"status": "received", "received_at": now, "claimed_until": now}
        async with self._database.transaction() as transaction:
            if await insert_if_absent(transaction, UPLOAD, **row):
                await _join(transaction, upload)
            found = await transaction.execute(select(*_FIELDS).where(UPLOAD.c.upload_id == upload.upload_id))
            recorded = Upload(*found.one())
        self.recorded.set()
        return recorded

    async def again(self, upload_id: str, extractor_version: int) -> bool | None:
        """Have an upload extracted anew; False if it has no outcome yet, None if it is not known: then it is left."""
        found = await reprocess(self._database, self._clock, UPLOAD.c.upload_id == upload_id, extractor_version)
        self.recorded.set()
        return found.get(upload_id)

    async def claim(self, most: int, seconds: float, besides: Collection[str] = ()) -> list[Upload]:
        """Unfinished uploads that nobody has claimed, oldest first, claimed and counted for so long from now on."""
        now = self._clock.now()
        unclaimed = (
            UPLOAD.c.status == "received",
            UPLOAD.c.claimed_until <= now,
            UPLOAD.c.upload_id.not_in(besides),
        )
        oldest = select(UPLOAD.c.upload_id).where(*unclaimed).order_by(UPLOAD.c.received_at).limit(most)
        async with self._database.reading() as connection:
            if (await connection.execute(oldest.limit(1))).first() is None:
                return []
        async with self._database.transaction() as transaction:
            claimed = await transaction.execute(
                update(UPLOAD)
                .where(UPLOAD.c.upload_id.in_(oldest.with_for_update(skip_locked=True)))
                .values(claimed_until=now + timedelta(seconds=seconds), claims=UPLOAD.c.claims + 1)
                .returning(*_FIELDS)
            )
            return [Upload(*row) for row in claimed]

    async def release(self, upload: Upload, seconds: float) -> None:
        """Give a claim back: it no longer counts, and if nobody else has one by now, the next may follow after so long."""
        until = self._clock.now() + timedelta(seconds=seconds)
        ours = UPLOAD.c.claimed_until == upload.claimed_until
        given_back = update(UPLOAD).values(
            claims=UPLOAD.c.claims - 1, claimed_until=case((ours, until), else_=UPLOAD.c.claimed_until)
        )
        async with self._database.transaction() as transaction:
            await transaction.execute(given_back.where(*_open_still(upload)))

    async def finish(self, upload: Upload, status: str, event: EventEnvelope[EventData]) -> bool:
        """Close an upload and leave its outcome event, in one transaction; False if it was closed before."""
        async with self._database.transaction() as transaction:
            closed = await transaction.execute(update(UPLOAD).where(*_open_still(upload)).values(status=status))
            if closed.rowcount != 1:
                return False
            await self._outbox.add(transaction, self._topic, upload.upload_id, event.model_dump_json().encode())
            return True


async def reprocess(
    database: Database, clock: Clock, which: ColumnElement[bool], extractor_version: int
) -> dict[str, bool]:
    """For each upload of ``which``, whether it had its outcome and is now to be extracted anew, as another occurrence.

    A deliberate second fact: its event has another id. Raises what the database raises, and then none is.
    """
    again = {
        "occurrence": UPLOAD.c.occurrence + 1,
        "status": "received",
        "extractor_version": extractor_version,
        "claims": 0,
        "claimed_until": clock.now(),
    }
    finished = UPLOAD.c.status != "received"
    chosen = select(UPLOAD.c.upload_id, finished.label("finished")).where(which).order_by(UPLOAD.c.upload_id)
    async with database.transaction() as transaction:
        # Locked from here on, where there are such locks: what is reported is what is done.
        found = {row.upload_id: row.finished for row in await transaction.execute(chosen.with_for_update())}
        await transaction.execute(update(UPLOAD).where(which, finished).values(again))
    return found


def _open_still(upload: Upload) -> tuple[ColumnElement[bool], ...]:
    return (
        UPLOAD.c.upload_id == upload.upload_id,
        UPLOAD.c.occurrence == upload.occurrence,
        UPLOAD.c.status == "received",
    )


async def _join(transaction: AsyncConnection, upload: Upload) -> None:
    """Take a place in the upload's batch, which begins with its first upload."""
    same = BATCH.c.batch_id == upload.batch_id
    await insert_if_absent(transaction, BATCH, batch_id=upload.batch_id, size=upload.batch_size, uploads=0)
    room = BATCH.c.size == upload.batch_size, BATCH.c.uploads < BATCH.c.size
    joined = update(BATCH).where(same, *room).values(uploads=BATCH.c.uploads + 1)
    if (await transaction.execute(joined)).rowcount == 1:
        return
    size = (await transaction.execute(select(BATCH.c.size).where(same))).scalar_one()
    if size != upload.batch_size:
        raise BatchRefused("batch_size_differs", f"this batch has {size} uploads, not {upload.batch_size}")
    raise BatchRefused("batch_full", f"this batch has its {size} uploads already")
