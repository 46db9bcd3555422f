"""Finds an event that kills the process whenever it is handled, without cost to any other event.

Normally nothing is written per event. A member of the group notes which partitions it holds, and removes the note when
it lets go of them. A note that is still there was left by a process that died; the first event of that partition, which
was in progress, is then a suspect. Suspects are handled one at a time, with nothing else in progress, and each attempt
is noted before it begins: a note whose process died counts as a failure.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import TypeVar

import sqlalchemy as sa
import structlog

from reference_impl.service_libs.backoff import Backoff
from reference_impl.service_libs.database import METADATA, Database, Migration, insert_if_absent
from reference_impl.service_libs.message import Message
from reference_impl.service_libs.settings import ConsumerSettings

_log = structlog.get_logger()

T = TypeVar("T")

HOLDING = sa.Table(
    "holding",
    METADATA,
    sa.Column("consumer_group", sa.String, primary_key=True),
    sa.Column("topic", sa.String, primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    sa.Column("holder", sa.String, nullable=False),
)
"""Which process holds which partition; ``holder`` is a random id that each process draws."""

SUSPECT = sa.Table(
    "suspect",
    METADATA,
    sa.Column("consumer", sa.String, primary_key=True),
    sa.Column("event_id", sa.String, primary_key=True),
    sa.Column("digest", sa.String, primary_key=True),
    sa.Column("holder", sa.String, primary_key=True),
    sa.Column("ended", sa.Boolean, nullable=False),
)
"""Attempts at suspects that have not ended well; ``ended``: the attempt's process has died."""

MIGRATION = Migration("suspects", [HOLDING, SUSPECT])

Partition = tuple[str, int]
"""Topic and partition number."""


class ProcessEnded(Exception):
    """Every attempt at an event ended its process."""


class Suspects:
    """The partitions that this process holds, and the suspects among their events."""

    def __init__(self, settings: ConsumerSettings, database: Database, backoff: Backoff, random: Random) -> None:
        self._database = database
        self._backoff = backoff
        self._group = settings.group
        self._most = settings.max_attempts
        self._me = f"{random.getrandbits(128):032x}"
        self._doubtful: set[Partition] = set()
        self._one_suspect = asyncio.Lock()
        self._in_work = 0
        self._none_in_work = asyncio.Event()
        self._no_suspect = asyncio.Event()
        self._none_in_work.set()
        self._no_suspect.set()

    async def hold(self, partitions: Collection[Partition]) -> None:
        """Note the partitions that this process holds, before it handles their events; waits for the database."""
        self._doubtful = await self._persist("note the partitions held", partial(self._take, partitions=partitions))
        if self._doubtful:
            _log.warning("partitions were held by a process that died", partitions=sorted(self._doubtful))

    async def let_go(self) -> None:
        """Remove the notes. Raises database errors; the next holder is then careful for nothing."""
        ours = sa.and_(HOLDING.c.consumer_group == self._group, HOLDING.c.holder == self._me)
        await self._database.write(lambda transaction: transaction.execute(sa.delete(HOLDING).where(ours)))

    @asynccontextmanager
    async def handling(self, message: Message) -> AsyncIterator[None]:
        """Wrap one attempt at a message. Raises ``ProcessEnded`` if the message has ended too many processes."""
        if _partition(message) in self._doubtful:
            async with self._one_suspect, self._alone(), self._noted(message):
                yield
            return
        while not self._no_suspect.is_set():  # another suspect may have started before this task resumed
            await self._no_suspect.wait()
        self._in_work += 1
        self._none_in_work.clear()
        try:
            yield
        finally:
            self._in_work -= 1
            if not self._in_work:
                self._none_in_work.set()

    async def clear(self, message: Message) -> None:
        """Clear a message that this attempt has closed: it was no suspect, and its partition has none left."""
        if _partition(message) in self._doubtful:
            self._doubtful.discard(_partition(message))
            await self._persist(
                "clear a suspect", lambda transaction: transaction.execute(sa.delete(SUSPECT).where(_same(message)))
            )

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        self._no_suspect.clear()
        try:
            await self._none_in_work.wait()
            yield
        finally:
            self._no_suspect.set()

    @asynccontextmanager
    async def _noted(self, message: Message) -> AsyncIterator[None]:
        try:
            ends = await self._persist("note a suspect", partial(self._note, message=message))
            if ends >= self._most:
                raise ProcessEnded(f"each of {ends} attempts ended the process")
            yield
        finally:
            ours = sa.delete(SUSPECT).where(_same(message), SUSPECT.c.holder == self._me)
            # Shielded: this attempt ended without killing the process, even if the task is cancelled.
            await asyncio.shield(self._persist("remove the note", lambda transaction: transaction.execute(ours)))

    async def _persist(self, what: str, work: Callable[[sa.Connection], T]) -> T:
        return await self._backoff.persist(lambda: self._database.write(work), what)

    def _take(self, transaction: sa.Connection, partitions: Collection[Partition]) -> set[Partition]:
        """Take over partitions; return those whose holders died, and mark the suspects that these had noted."""
        left: dict[Partition, str] = {}
        for topic, number in sorted(partitions):
            key = {"consumer_group": self._group, "topic": topic, "partition": number}
            same = sa.and_(*(HOLDING.c[name] == value for name, value in key.items()))
            while not insert_if_absent(transaction, HOLDING, **key, holder=self._me):
                holder = transaction.execute(sa.select(HOLDING.c.holder).where(same)).scalar_one_or_none()
                if holder is not None:  # on Postgres it may have let go between these two statements
                    left[topic, number] = holder
                    transaction.execute(sa.update(HOLDING).where(same).values(holder=self._me))
                    break
        others = set(left.values()) - {self._me}
        transaction.execute(sa.update(SUSPECT).where(SUSPECT.c.holder.in_(others)).values(ended=True))
        return {partition for partition, holder in left.items() if holder in others}

    def _note(self, transaction: sa.Connection, message: Message) -> int:
        """Note an attempt; return how many processes the message has ended."""
        insert_if_absent(transaction, SUSPECT, **message.key, holder=self._me, ended=False)
        ended = sa.select(sa.func.count()).where(_same(message), SUSPECT.c.ended)
        return int(transaction.execute(ended).scalar_one())


def _partition(message: Message) -> Partition:
    return message.delivery.topic, message.delivery.partition


def _same(message: Message) -> sa.ColumnElement[bool]:
    return sa.and_(*(SUSPECT.c[name] == value for name, value in message.key.items()))
