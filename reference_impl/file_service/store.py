"""Uploads in the database: recorded once, claimed by one worker at a time, finished once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Column, DateTime, Index, Integer, String, Table, select, update
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
    Column("occurrence", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("claimed_until", DateTime(timezone=True), nullable=False),
)
_UNFINISHED = Index(
    "upload_unfinished",
    UPLOAD.c.received_at,
    sqlite_where=UPLOAD.c.status == "received",
    postgresql_where=UPLOAD.c.status == "received",
)

MIGRATION = Migration("upload", (CreateTable(UPLOAD), CreateIndex(_UNFINISHED)))


@dataclass(frozen=True)
class Upload:
    """A recorded upload."""

    upload_id: str
    file_name: str
    raw_file_storage_id: str
    occurrence: int = 1


_FIELDS = (UPLOAD.c.upload_id, UPLOAD.c.file_name, UPLOAD.c.raw_file_storage_id, UPLOAD.c.occurrence)


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
        """Record an upload unless its id is known; what is recorded now."""
        now = self._clock.now()
        row = {
            "upload_id": upload.upload_id,
            "file_name": upload.file_name,
            "raw_file_storage_id": upload.raw_file_storage_id,
            "occurrence": upload.occurrence,
            "status": "received",
            "received_at": now,
            "claimed_until": now,
        }
        async with self._database.transaction() as transaction:
            await insert_if_absent(transaction, UPLOAD, **row)
            found = await transaction.execute(select(*_FIELDS).where(UPLOAD.c.upload_id == upload.upload_id))
            recorded = Upload(*found.one())
        self.recorded.set()
        return recorded

    async def claim(self, most: int, seconds: float) -> list[Upload]:
        """Unfinished uploads that nobody has claimed, oldest first, claimed for so long from now on."""
        now = self._clock.now()
        unclaimed = UPLOAD.c.status == "received", UPLOAD.c.claimed_until <= now
        oldest = select(UPLOAD.c.upload_id).where(*unclaimed).order_by(UPLOAD.c.received_at).limit(most)
        async with self._database.reading() as connection:
            if (await connection.execute(oldest.limit(1))).first() is None:
                return []
        async with self._database.transaction() as transaction:
            claimed = await transaction.execute(
                update(UPLOAD)
                .where(UPLOAD.c.upload_id.in_(oldest.with_for_update(skip_locked=True)))
                .values(claimed_until=now + timedelta(seconds=seconds))
                .returning(*_FIELDS)
            )
            return [Upload(*row) for row in claimed]

    async def release(self, upload: Upload, seconds: float) -> None:
        """Let it be claimed again after so long."""
        until = self._clock.now() + timedelta(seconds=seconds)
        same = UPLOAD.c.upload_id == upload.upload_id
        async with self._database.transaction() as transaction:
            await transaction.execute(update(UPLOAD).where(same).values(claimed_until=until))

    async def finish(self, upload: Upload, status: str, event: EventEnvelope[EventData]) -> bool:
        """Close an upload and leave its outcome event, in one transaction; False if it was closed before."""
        open_still = (
            UPLOAD.c.upload_id == upload.upload_id,
            UPLOAD.c.occurrence == upload.occurrence,
            UPLOAD.c.status == "received",
        )
        async with self._database.transaction() as transaction:
            closed = await transaction.execute(update(UPLOAD).where(*open_still).values(status=status))
            if closed.rowcount != 1:
                return False
            await self._outbox.add(transaction, self._topic, upload.upload_id, event.model_dump_json().encode())
            return True
