"""Stores uploads: each is recorded once, in a batch with room, claimed by one worker at a time, finished once."""

import asyncio
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta

import sqlalchemy as sa

from reference_impl.common_core.events import EventData, EventEnvelope
from reference_impl.service_libs.clock import Clock
from reference_impl.service_libs.database import METADATA, Database, Migration, insert_if_absent
from reference_impl.service_libs.outbox import Outbox
from reference_impl.service_libs.settings import KafkaSettings

UPLOAD = sa.Table(
    "upload",
    METADATA,
    sa.Column("upload_id", sa.String, primary_key=True),
    sa.Column("file_name", sa.String, nullable=False),
    sa.Column("raw_file_storage_id", sa.String, nullable=False),
    sa.Column("batch_id", sa.String, nullable=False),
    sa.Column("batch_size", sa.Integer, nullable=False),
    sa.Column("extractor_version", sa.Integer, nullable=False),
    sa.Column("occurrence", sa.Integer, nullable=False),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=False),
    sa.Column("claims", sa.Integer, nullable=False),
)
sa.Index(
    "upload_unfinished",
    UPLOAD.c.received_at,
    sqlite_where=UPLOAD.c.status == "received",
    postgresql_where=UPLOAD.c.status == "received",
)

BATCH = sa.Table(
    "upload_batch",
    METADATA,
    sa.Column("batch_id", sa.String, primary_key=True),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("uploads", sa.Integer, nullable=False),
)

MIGRATION = Migration("upload", [UPLOAD, BATCH])


class BatchRefused(Exception):
    """A batch has no room for an upload; ``error`` is a word for the reason."""

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(detail)
        self.error = error


@dataclass(frozen=True)
class Upload:
    """A recorded upload. ``claims`` counts the claims not given back, including the current one."""

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
# Built once: building a statement takes several times as long as running it.
_FIND = sa.select(*_FIELDS).where(UPLOAD.c.upload_id == sa.bindparam("known"))
_OLDEST = (
    sa.select(UPLOAD.c.upload_id)
    .where(
        UPLOAD.c.status == "received",
        # A claim that ends later than any can was made before the clock stepped back. "Later" begins at twice a claim's
        # length: a replica whose clock is behind would otherwise take each fresh claim of another.
        sa.or_(UPLOAD.c.claimed_until <= sa.bindparam("now"), UPLOAD.c.claimed_until > sa.bindparam("latest")),
        UPLOAD.c.upload_id.not_in(sa.bindparam("besides", expanding=True)),
    )
    .order_by(UPLOAD.c.received_at)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_CLAIM = (
    sa.update(UPLOAD)
    .where(UPLOAD.c.upload_id.in_(_OLDEST.with_for_update(skip_locked=True)))
    .values(claimed_until=sa.bindparam("until"), claims=UPLOAD.c.claims + 1)
    .returning(*_FIELDS)
)
_OPEN_STILL = (
    UPLOAD.c.upload_id == sa.bindparam("known"),
    UPLOAD.c.occurrence == sa.bindparam("told"),
    UPLOAD.c.status == "received",
)
_FINISH = sa.update(UPLOAD).where(*_OPEN_STILL).values(status=sa.bindparam("ended_as"))
_SAME = BATCH.c.batch_id == sa.bindparam("batch")
_JOIN = (
    sa.update(BATCH)
    .where(_SAME, BATCH.c.size == sa.bindparam("told_size"), BATCH.c.uploads < BATCH.c.size)
    .values(uploads=BATCH.c.uploads + 1)
)


@dataclass
class UploadStore:
    """Reads and writes the upload table. Methods raise database errors."""

    settings: KafkaSettings
    database: Database
    outbox: Outbox
    clock: Clock
    recorded: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    """Wakes the worker."""

    async def find(self, upload_id: str) -> Upload | None:
        """Return a recorded upload, or None."""
        known = {"known": upload_id}
        row = await self.database.read(lambda connection: connection.execute(_FIND, known).one_or_none())
        return Upload(*row) if row is not None else None

    async def record(self, upload: Upload) -> Upload:
        """Record an upload unless its id exists; return what is recorded now.

        Raises ``BatchRefused``, recording nothing.
        """
        now = self.clock.now()
        row = asdict(upload) | {"status": "received", "received_at": now, "claimed_until": now}

        def record(transaction: sa.Connection) -> Upload:
            if insert_if_absent(transaction, UPLOAD, **row):
                _join(transaction, upload)
                return upload
            return Upload(*transaction.execute(_FIND, {"known": upload.upload_id}).one())

        recorded = await self.database.write(record)
        self.recorded.set()
        return recorded

    async def again(self, upload_id: str, extractor_version: int) -> bool | None:
        """Have an upload extracted again; return False if it has no outcome yet, None if it is unknown."""
        requested = await reprocess(self.database, self.clock, UPLOAD.c.upload_id == upload_id, extractor_version)
        self.recorded.set()
        return requested.get(upload_id)

    async def claim(self, most: int, seconds: float, besides: Collection[str] = ()) -> list[Upload]:
        """Claim unfinished, unclaimed uploads for ``seconds``, oldest first; each claim counts."""
        now, length = self.clock.now(), timedelta(seconds=seconds)
        times = {"now": now, "until": now + length, "latest": now + 2 * length}
        parameters = {**times, "besides": tuple(besides), "most": most}
        if not await self.database.read(
            lambda connection: connection.execute(_OLDEST, parameters | {"most": 1}).all()
        ):
            return []
        return await self.database.write(
            lambda transaction: [Upload(*row) for row in transaction.execute(_CLAIM, parameters)]
        )

    async def release(self, upload: Upload, seconds: float) -> None:
        """Give a claim back: it no longer counts and, unless another worker holds one now, expires after ``seconds``.

        ``seconds`` must not exceed the length of a claim.
        """
        until = self.clock.now() + timedelta(seconds=seconds)
        ours = UPLOAD.c.claimed_until == upload.claimed_until
        given_back = (
            sa.update(UPLOAD)
            .where(*_OPEN_STILL)
            .values(claims=UPLOAD.c.claims - 1, claimed_until=sa.case((ours, until), else_=UPLOAD.c.claimed_until))
        )
        await self.database.write(lambda transaction: transaction.execute(given_back, _named(upload)))

    async def finish(self, upload: Upload, status: str, event: EventEnvelope[EventData]) -> bool:
        """Close an upload and add its outcome to the outbox, in one transaction; False if it was already closed."""
        value = event.model_dump_json().encode()

        def finish(transaction: sa.Connection) -> bool:
            closed = transaction.execute(_FINISH, {**_named(upload), "ended_as": status})
            if closed.rowcount == 1:
                self.outbox.add(transaction, self.settings.topic_essays, upload.upload_id, value)
            return closed.rowcount == 1

        return await self.database.write(finish)


async def reprocess(
    database: Database, clock: Clock, which: sa.ColumnElement[bool], extractor_version: int
) -> dict[str, bool]:
    """Request another extraction of the finished uploads in ``which``; return for each whether it was finished.

    The new outcome is a deliberate second fact: its event has another id. Raises database errors, requesting nothing.
    """
    again = {
        "occurrence": UPLOAD.c.occurrence + 1,
        "status": "received",
        "extractor_version": extractor_version,
        "claims": 0,
        "claimed_until": clock.now(),
    }
    finished = UPLOAD.c.status != "received"
    chosen = sa.select(UPLOAD.c.upload_id, finished.label("finished")).where(which).order_by(UPLOAD.c.upload_id)

    def reprocess(transaction: sa.Connection) -> dict[str, bool]:
        # Locked from here on, where the database has row locks, so the report matches what is done.
        eligible = {row.upload_id: row.finished for row in transaction.execute(chosen.with_for_update())}
        transaction.execute(sa.update(UPLOAD).where(which, finished).values(again))
        return eligible

    return await database.write(reprocess)


def _named(upload: Upload) -> dict[str, object]:
    """Return the parameters of ``_OPEN_STILL``."""
    return {"known": upload.upload_id, "told": upload.occurrence}


def _join(transaction: sa.Connection, upload: Upload) -> None:
    """Take a place in the upload's batch; the first upload creates the batch."""
    insert_if_absent(transaction, BATCH, batch_id=upload.batch_id, size=upload.batch_size, uploads=0)
    parameters = {"batch": upload.batch_id, "told_size": upload.batch_size}
    if transaction.execute(_JOIN, parameters).rowcount == 1:
        return
    size = transaction.execute(sa.select(BATCH.c.size).where(_SAME), parameters).scalar_one()
    if size != upload.batch_size:
        raise BatchRefused("batch_size_differs", f"this batch has {size} uploads, not {upload.batch_size}")
    raise BatchRefused("batch_full", f"this batch has its {size} uploads already")
