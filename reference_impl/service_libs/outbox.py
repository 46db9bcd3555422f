"""The transactional outbox: events are written in the transaction that makes them true; a relay publishes them later.

Events are published at least once and in order per key. A relay may die at any line: it loses nothing, but may publish
an event twice. It never does so once consumers may have forgotten the first time.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from random import Random

import sqlalchemy as sa
import structlog

from reference_impl.service_libs.backoff import Backoff, until_set
from reference_impl.service_libs.clock import Clock
from reference_impl.service_libs.database import ENTRY, METADATA, Database, Migration, insert_if_absent
from reference_impl.service_libs.errors import KafkaRefused, is_dependency_error
from reference_impl.service_libs.logging import brief
from reference_impl.service_libs.metrics import Metrics
from reference_impl.service_libs.protocols import KafkaBusProtocol
from reference_impl.service_libs.settings import OutboxSettings

_log = structlog.get_logger()

OUTBOX = sa.Table(
    "outbox",
    METADATA,
    sa.Column("entry", ENTRY, primary_key=True, autoincrement=True),
    sa.Column("topic", sa.String, nullable=False),
    sa.Column("key", sa.String, nullable=False),
    sa.Column("value", sa.LargeBinary, nullable=False),
    sa.Column("sent_at", sa.DateTime(timezone=True)),
    sa.Column("refused", sa.String),
    sa.Column("added_at", sa.DateTime(timezone=True)),
    sqlite_autoincrement=True,
)
"""``refused`` says why a row is never published: it stays, is logged and counted, and blocks nothing."""

_OPEN = sa.and_(OUTBOX.c.sent_at.is_(None), OUTBOX.c.refused.is_(None))
sa.Index("outbox_unsent", OUTBOX.c.entry, sqlite_where=_OPEN, postgresql_where=_OPEN)
sa.Index("outbox_sent", OUTBOX.c.sent_at)

RELAY_TURN = sa.Table(
    "relay_turn",
    METADATA,
    sa.Column("relay", sa.String, primary_key=True),
    sa.Column("holder", sa.String, nullable=False),
    sa.Column("until", sa.DateTime(timezone=True), nullable=False),
)
"""One row: whose turn it is to publish. It only avoids duplicates; correctness does not depend on it."""

MIGRATION = Migration("outbox", [OUTBOX, RELAY_TURN], ages=[OUTBOX.c.sent_at], later=[OUTBOX.c.added_at])

_ON_ITS_WAY = timedelta(hours=1)
"""How long before consumers forget an event its second copy is too late: it has to reach them, and clocks differ."""

_FORGOTTEN = (
    "older than RETENTION_HOURS, less an hour; if it was published and not marked, consumers that applied it may forget it "
    "before it comes again"
)

# Built once: building a statement takes several times as long as running it.
_ADD = sa.insert(OUTBOX).values(added_at=sa.func.now())
# All unsent rows, never "after the last id seen": ids are assigned in another order than transactions commit.
_UNSENT_ROWS = (
    sa.select(
        OUTBOX.c.entry,
        OUTBOX.c.topic,
        OUTBOX.c.key,
        OUTBOX.c.value,
        (OUTBOX.c.added_at < sa.bindparam("remembered")).label("forgotten"),
    )
    .where(_OPEN, OUTBOX.c.topic.not_in(sa.bindparam("busy", expanding=True)))
    .order_by(OUTBOX.c.entry)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_MARK = sa.update(OUTBOX).where(OUTBOX.c.entry == sa.bindparam("sent"), _OPEN).values(sent_at=sa.bindparam("at"))


@dataclass(frozen=True)
class Outbox:
    """Collects the events of transactions."""

    database: Database
    added: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def add(self, transaction: sa.Connection, topic: str, key: str, value: bytes) -> None:
        """Add an event, to be published if, and only if, the transaction commits."""
        transaction.execute(_ADD, {"topic": topic, "key": key, "value": value})
        self.database.on_commit(transaction, self.added.set)


Unsent = sa.Row[int, str, str, bytes, bool | None]
"""Entry, topic, key, value, whether it is so old that consumers may have forgotten it."""


@dataclass
class Relay:
    """Publishes the outbox, forever; each topic independently, so none waits for another's outage."""

    settings: OutboxSettings
    database: Database
    outbox: Outbox
    bus: KafkaBusProtocol
    clock: Clock
    backoff: Backoff
    random: Random
    metrics: Metrics
    _turn_until: datetime | None = field(default=None, init=False)
    _busy: dict[str, asyncio.Task[None]] = field(default_factory=dict, init=False)
    _failures: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        self._holder = f"{self.random.getrandbits(128):032x}"
        self._turn = timedelta(seconds=self.settings.relay_turn_seconds)
        self._memory = timedelta(hours=self.settings.retention_hours) - _ON_ITS_WAY

    async def run(self) -> None:
        """Publish until cancelled: this process's events at once, those that others left within a poll interval."""
        try:
            while True:
                # Each time: it reconnects after a failure, even with nothing to send.
                await self.backoff.persist(self.bus.start, "connect to Kafka")
                self.outbox.added.clear()
                await self.backoff.persist(self.publish_unsent, "read the outbox")
                await until_set(self.outbox.added, self.settings.relay_poll_seconds)
        finally:
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def publish_unsent(self) -> None:
        """Start to publish unsent rows, one batch for each topic that is not being published already."""
        while True:
            rows = await self.database.read(partial(self._unsent, busy=tuple(self._busy)))
            if not rows or not await self._is_our_turn():
                return
            by_topic: dict[str, list[Unsent]] = {}
            for row in rows:
                by_topic.setdefault(row.topic, []).append(row)
            for topic, batch in by_topic.items():
                self._busy[topic] = asyncio.create_task(self._publish(topic, batch))
                self._busy[topic].add_done_callback(partial(self._is_free, topic))
            if len(rows) < self.settings.relay_batch:
                return  # a full batch may hide other topics' rows behind it

    def _is_free(self, topic: str, _task: asyncio.Task[None]) -> None:
        del self._busy[topic]
        self.outbox.added.set()

    async def _publish(self, topic: str, rows: Sequence[Unsent]) -> None:
        """Publish a topic's rows; after a failure this topic waits, and no other."""
        try:
            complete = await self._sent(rows) == len(rows)
        except Exception as error:  # noqa: BLE001 - unmarked rows must be retried, whatever it was
            _log.warning(
                "not marked as sent", topic=topic, error=brief(error), exc_info=not is_dependency_error(error)
            )
            complete = False
        if complete:
            self._failures.pop(topic, None)
        else:
            self._failures[topic] += 1
            await self.backoff.wait(self._failures[topic])

    async def _sent(self, rows: Sequence[Unsent]) -> int:
        """Publish rows and mark those acknowledged; return how many."""
        by_key: dict[str, list[Unsent]] = {}
        for row in rows:
            by_key.setdefault(row.key, []).append(row)
        together = await asyncio.gather(*map(self._in_order, by_key.values()))
        # Marked before any refused row is tried again, which may last longer than the turn.
        sent = await self._mark([entry for entries, _ in together for entry in entries])
        # What is published at once may share a batch, and the broker refuses a batch whole, whichever row is to blame.
        for _, refused in together:
            entries, _ = await self._in_order(refused, alone=True)
            sent += await self._mark(entries)
            if len(entries) < len(refused):
                break  # an outage, which each further row would wait for, or the turn is over
        return sent

    async def _mark(self, entries: Sequence[int]) -> int:
        if entries:
            marks = [{"sent": entry, "at": self.clock.now()} for entry in entries]
            await self.database.write(lambda transaction: transaction.execute(_MARK, marks))
        return len(entries)

    def _unsent(self, connection: sa.Connection, busy: Sequence[str]) -> Sequence[Unsent]:
        remembered = self.clock.now() - self._memory
        most = self.settings.relay_batch
        return connection.execute(_UNSENT_ROWS, {"busy": busy, "most": most, "remembered": remembered}).all()

    async def _in_order(self, rows: Sequence[Unsent], *, alone: bool = False) -> tuple[list[int], Sequence[Unsent]]:
        """Publish one key's rows, each once the one before is acknowledged; stop at the first failure.

        Return the published entries, and the rows from a refused one on. If nothing else is published meanwhile
        (``alone``), a refusal is for good, and that row counts as published; such rows take long, so each needs the turn.
        """
        sent: list[int] = []
        for number, row in enumerate(rows):
            try:
                if alone and not await self._is_our_turn():
                    _log.warning("not published: the turn is another relay's", topic=row.topic, key=row.key)
                    break
                await self._publish_or_refuse(row, alone=alone)
            except KafkaRefused:
                return sent, rows[number:]
            except Exception as error:  # noqa: BLE001 - the other keys must go on, whatever it was
                ours = not is_dependency_error(error)
                _log.warning("not published", topic=row.topic, key=row.key, error=brief(error), exc_info=ours)
                break
            sent.append(row.entry)
        return sent, ()

    async def _publish_or_refuse(self, row: Unsent, *, alone: bool) -> None:
        if row.forgotten:
            await self._refuse(row, _FORGOTTEN)
            return
        try:
            await self.bus.publish(row.topic, row.key, row.value)
        except KafkaRefused as error:
            if not alone:
                raise
            await self._refuse(row, str(error))

    async def _refuse(self, row: Unsent, why: str) -> None:
        size = len(row.value)
        _log.error("permanently refused", topic=row.topic, key=row.key, entry=row.entry, size=size, error=why)
        self.metrics.refused.inc()
        refused = sa.update(OUTBOX).where(OUTBOX.c.entry == row.entry).values(refused=why)
        await self.database.write(lambda transaction: transaction.execute(refused))

    async def _is_our_turn(self) -> bool:
        now = self.clock.now()
        if self._turn_until is not None and self._turn / 2 < self._turn_until - now <= self._turn:
            return True
        ours = await self.database.write(partial(self._take_turn, now=now))
        self._turn_until = now + self._turn if ours else None
        return ours

    def _take_turn(self, transaction: sa.Connection, now: datetime) -> bool:
        turn = {"holder": self._holder, "until": now + self._turn}
        if insert_if_absent(transaction, RELAY_TURN, relay="relay", **turn):
            return True
        # A turn that ends later than any can was taken before the clock stepped back. "Later" begins at twice a turn's
        # length: a replica whose clock is behind would otherwise take each fresh turn of another.
        over = sa.or_(RELAY_TURN.c.until < now, RELAY_TURN.c.until > now + 2 * self._turn)
        taken = sa.update(RELAY_TURN).where(sa.or_(RELAY_TURN.c.holder == self._holder, over)).values(**turn)
        return transaction.execute(taken).rowcount == 1
