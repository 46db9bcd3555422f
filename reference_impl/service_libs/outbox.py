"""Events leave through a table: written in the transaction that makes them true, published by a relay afterwards.

They leave at least once and in order per key. A relay that dies at any line loses nothing; it may publish twice.
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
from reference_impl.service_libs.database import METADATA, Database, Migration, insert_if_absent
from reference_impl.service_libs.errors import KafkaRefused, is_dependency_error
from reference_impl.service_libs.metrics import Metrics
from reference_impl.service_libs.protocols import KafkaBusProtocol
from reference_impl.service_libs.settings import OutboxSettings

_log = structlog.get_logger()

OUTBOX = sa.Table(
    "outbox",
    METADATA,
    sa.Column("entry", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("topic", sa.String, nullable=False),
    sa.Column("key", sa.String, nullable=False),
    sa.Column("value", sa.LargeBinary, nullable=False),
    sa.Column("sent_at", sa.DateTime(timezone=True)),
    sa.Column("refused", sa.String),
    sqlite_autoincrement=True,
)
"""``refused`` says why the broker will never take a row: it stays, is logged and counted, and stalls nothing."""

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
"""One row: whose turn it is to publish. It spares needless second copies; no correctness rests on it."""

MIGRATION = Migration("outbox", [OUTBOX, RELAY_TURN], ages=[OUTBOX.c.sent_at])

# Made once: to make a statement takes several times as long as to run it.
_ADD = sa.insert(OUTBOX)
# All that is unsent, never "after the last id seen": ids are given out in another order than commits happen.
_UNSENT_ROWS = (
    sa.select(OUTBOX.c.entry, OUTBOX.c.topic, OUTBOX.c.key, OUTBOX.c.value)
    .where(_OPEN, OUTBOX.c.topic.not_in(sa.bindparam("busy", expanding=True)))
    .order_by(OUTBOX.c.entry)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_MARK = sa.update(OUTBOX).where(OUTBOX.c.entry == sa.bindparam("sent"), _OPEN).values(sent_at=sa.bindparam("at"))


@dataclass(frozen=True)
class Outbox:
    """Where a transaction leaves its events."""

    database: Database
    added: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def add(self, transaction: sa.Connection, topic: str, key: str, value: bytes) -> None:
        """Leave one event; it is published if, and only if, the transaction commits."""
        transaction.execute(_ADD, {"topic": topic, "key": key, "value": value})
        self.database.on_commit(transaction, self.added.set)


Unsent = sa.Row[int, str, str, bytes]
"""Entry, topic, key, value."""


@dataclass
class Relay:
    """Publishes what is in the outbox, for ever; each topic by itself, so that none waits for another's outage."""

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

    async def run(self) -> None:
        """Publish until cancelled: at once what this process adds, within a poll what others left."""
        try:
            while True:
                # Each time: after a failure it connects anew, also with nothing to send.
                await self.backoff.persist(self.bus.start, "connect to Kafka")
                self.outbox.added.clear()
                await self.backoff.persist(self.publish_unsent, "read the outbox")
                await until_set(self.outbox.added, self.settings.relay_poll_seconds)
        finally:
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def publish_unsent(self) -> None:
        """Begin to publish what is unsent, one batch of each topic that is not being published to already."""
        while True:
            rows = await self.database.read(partial(self._unsent, busy=tuple(self._busy)))
            if not rows or not await self._is_our_turn():
                return
            by_topic: dict[str, list[Unsent]] = {}
            for row in rows:
                by_topic.setdefault(row.topic, []).append(row)
            for topic, some in by_topic.items():
                self._busy[topic] = asyncio.create_task(self._publish(topic, some))
                self._busy[topic].add_done_callback(partial(self._is_free, topic))
            if len(rows) < self.settings.relay_batch:
                return  # and else other topics may have rows behind those

    def _is_free(self, topic: str, _task: asyncio.Task[None]) -> None:
        del self._busy[topic]
        self.outbox.added.set()

    async def _publish(self, topic: str, rows: Sequence[Unsent]) -> None:
        """Publish a topic's rows; after a failure the topic waits, and no other one."""
        try:
            complete = await self._sent(rows) == len(rows)
        except Exception as error:  # noqa: BLE001 - whatever it was, what is not marked must be tried again
            _log.warning(
                "not marked as sent", topic=topic, error=repr(error), exc_info=not is_dependency_error(error)
            )
            complete = False
        if complete:
            self._failures.pop(topic, None)
        else:
            self._failures[topic] += 1
            await self.backoff.wait(self._failures[topic])

    async def _sent(self, rows: Sequence[Unsent]) -> int:
        """Publish, and mark what was acknowledged; how many rows that was."""
        by_key: dict[str, list[Unsent]] = {}
        for row in rows:
            by_key.setdefault(row.key, []).append(row)
        sent = [entry for some in await asyncio.gather(*map(self._in_order, by_key.values())) for entry in some]
        if sent:
            marks = [{"sent": entry, "at": self.clock.now()} for entry in sent]
            await self.database.write(lambda transaction: transaction.execute(_MARK, marks))
        return len(sent)

    def _unsent(self, connection: sa.Connection, busy: Sequence[str]) -> Sequence[Unsent]:
        return connection.execute(_UNSENT_ROWS, {"busy": busy, "most": self.settings.relay_batch}).all()

    async def _in_order(self, rows: Sequence[Unsent]) -> list[int]:
        """Publish the rows of one key, each after the one before was acknowledged; stop at the first that was not.

        A row that is refused for good is passed over; it is among those given back.
        """
        sent: list[int] = []
        for row in rows:
            try:
                await self._publish_or_refuse(row)
            except Exception as error:  # noqa: BLE001 - whatever it was, it is no reason to forget the other keys
                ours = not is_dependency_error(error)
                _log.warning("not published", topic=row.topic, key=row.key, error=repr(error), exc_info=ours)
                break
            sent.append(row.entry)
        return sent

    async def _publish_or_refuse(self, row: Unsent) -> None:
        try:
            await self.bus.publish(row.topic, row.key, row.value)
        except KafkaRefused as error:
            size = len(row.value)
            _log.error("refused for good", topic=row.topic, key=row.key, entry=row.entry, size=size, error=str(error))
            self.metrics.refused.inc()
            refused = sa.update(OUTBOX).where(OUTBOX.c.entry == row.entry).values(refused=str(error))
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
        # A turn that lasts longer than any can was taken before the clock stepped back.
        over = sa.or_(RELAY_TURN.c.until < now, RELAY_TURN.c.until > now + self._turn)
        taken = sa.update(RELAY_TURN).where(sa.or_(RELAY_TURN.c.holder == self._holder, over)).values(**turn)
        return transaction.execute(taken).rowcount == 1
