"""Events leave through a table: written in the transaction that makes them true, published by a relay afterwards.

They leave at least once and in order per key. A relay that dies at any line loses nothing; it may publish twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

import structlog
from sqlalchemy import (
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    and_,
    or_,
    select,
    update,
)
from sqlalchemy import insert as sql_insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateIndex, CreateTable

from reference_impl.service_libs.backoff import Backoff, until_set
from reference_impl.service_libs.clock import Clock
from reference_impl.service_libs.database import METADATA, Database, Migration, insert_if_absent
from reference_impl.service_libs.errors import KafkaRefused, KafkaUnavailable
from reference_impl.service_libs.metrics import Metrics
from reference_impl.service_libs.protocols import KafkaBusProtocol
from reference_impl.service_libs.settings import OutboxSettings

_log = structlog.get_logger()

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("entry", Integer, primary_key=True, autoincrement=True),
    Column("topic", String, nullable=False),
    Column("key", String, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("sent_at", DateTime(timezone=True)),
    Column("refused", String),
    sqlite_autoincrement=True,
)
"""``refused`` says why the broker will never take a row: it stays, is logged and counted, and stalls nothing."""

_OPEN = and_(OUTBOX.c.sent_at.is_(None), OUTBOX.c.refused.is_(None))
_UNSENT = Index("outbox_unsent", OUTBOX.c.entry, sqlite_where=_OPEN, postgresql_where=_OPEN)

RELAY_TURN = Table(
    "relay_turn",
    METADATA,
    Column("relay", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("until", DateTime(timezone=True), nullable=False),
)
"""One row: whose turn it is to publish. It spares needless second copies; no correctness rests on it."""

MIGRATION = Migration("outbox", (CreateTable(OUTBOX), CreateIndex(_UNSENT), CreateTable(RELAY_TURN)))


class Outbox:
    """Where a transaction leaves its events."""

    def __init__(self, database: Database) -> None:
        self.added = asyncio.Event()
        self._database = database

    async def add(self, transaction: AsyncConnection, topic: str, key: str, value: bytes) -> None:
        """Leave one event; it is published if, and only if, the transaction commits."""
        await transaction.execute(sql_insert(OUTBOX).values(topic=topic, key=key, value=value))
        self._database.on_commit(transaction, self.added.set)


@dataclass
class Relay:
    """Publishes what is in the outbox, for ever."""

    settings: OutboxSettings
    database: Database
    outbox: Outbox
    bus: KafkaBusProtocol
    clock: Clock
    backoff: Backoff
    random: Random
    metrics: Metrics
    _turn_until: datetime | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._holder = f"{self.random.getrandbits(128):032x}"
        self._turn = timedelta(seconds=self.settings.relay_turn_seconds)

    async def run(self) -> None:
        """Publish until cancelled: at once what this process adds, within a poll what others left."""
        while True:
            # Each time: after a failure it connects anew, also with nothing to send.
            await self.backoff.persist(self.bus.start, "connect to Kafka")
            self.outbox.added.clear()
            if not await self.backoff.persist(self.publish_unsent, "publish the outbox"):
                await until_set(self.outbox.added, self.settings.relay_poll_seconds)

    async def publish_unsent(self) -> int:
        """Publish one batch of unsent rows; how many were sent. Raises ``KafkaUnavailable`` if one was not."""
        rows = await self._unsent()
        if not rows or not await self._is_our_turn():
            return 0
        by_key: dict[tuple[str, str], list[Row[int, str, str, bytes]]] = {}
        for row in rows:
            by_key.setdefault((row.topic, row.key), []).append(row)
        sent = [entry for some in await asyncio.gather(*map(self._in_order, by_key.values())) for entry in some]
        if sent:
            async with self.database.transaction() as transaction:
                await transaction.execute(
                    update(OUTBOX).where(OUTBOX.c.entry.in_(sent), _OPEN).values(sent_at=self.clock.now())
                )
        if len(sent) < len(rows):
            raise KafkaUnavailable(f"{len(rows) - len(sent)} of {len(rows)} rows were not acknowledged")
        return len(sent)

    async def _unsent(self) -> Sequence[Row[int, str, str, bytes]]:
        # All that is unsent, never "after the last id seen": ids are given out in another order than commits happen.
        query = (
            select(OUTBOX.c.entry, OUTBOX.c.topic, OUTBOX.c.key, OUTBOX.c.value)
            .where(_OPEN)
            .order_by(OUTBOX.c.entry)
            .limit(self.settings.relay_batch)
        )
        async with self.database.reading() as connection:
            return (await connection.execute(query)).all()

    async def _in_order(self, rows: Sequence[Row[int, str, str, bytes]]) -> list[int]:
        """Publish the rows of one key, each after the one before was acknowledged; stop at the first that was not.

        A row that is refused for good is passed over; it is among those given back.
        """
        sent: list[int] = []
        for row in rows:
            try:
                await self.bus.publish(row.topic, row.key, row.value)
            except KafkaUnavailable as error:
                _log.warning("not published", topic=row.topic, key=row.key, entry=row.entry, error=str(error))
                break
            except KafkaRefused as error:
                await self._refuse(row, str(error))
            sent.append(row.entry)
        return sent

    async def _refuse(self, row: Row[int, str, str, bytes], why: str) -> None:
        _log.error("refused for good", topic=row.topic, key=row.key, entry=row.entry, size=len(row.value), error=why)
        self.metrics.refused.inc()
        async with self.database.transaction() as transaction:
            await transaction.execute(update(OUTBOX).where(OUTBOX.c.entry == row.entry).values(refused=why))

    async def _is_our_turn(self) -> bool:
        now = self.clock.now()
        if self._turn_until is not None and now < self._turn_until - self._turn / 2:
            return True
        until = now + self._turn
        async with self.database.transaction() as transaction:
            ours = await insert_if_absent(transaction, RELAY_TURN, relay="relay", holder=self._holder, until=until)
            if not ours:
                free = or_(RELAY_TURN.c.holder == self._holder, RELAY_TURN.c.until < now)
                taken = update(RELAY_TURN).where(free).values(holder=self._holder, until=until)
                ours = (await transaction.execute(taken)).rowcount == 1
        self._turn_until = until if ours else None
        return ours
