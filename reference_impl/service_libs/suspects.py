"""An event that ends the process each time it is handled is found out, and costs no other event anything.

Nothing is written for an event in the ordinary way. A member of the group notes which partitions it holds, and takes
the note away when it lets go of them. A note that is found there was left by a process that ended without a word; then
the first event of that partition, which was in its hands, is a suspect. Suspects are handled one at a time, with
nothing else in work beside them, and each handling is noted before it begins: a note whose process ended counts.
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
"""Which process holds which partition; ``holder`` is a random id that a process draws."""

SUSPECT = sa.Table(
    "suspect",
    METADATA,
    sa.Column("consumer", sa.String, primary_key=True),
    sa.Column("event_id", sa.String, primary_key=True),
    sa.Column("digest", sa.String, primary_key=True),
    sa.Column("holder", sa.String, primary_key=True),
    sa.Column("ended", sa.Boolean, nullable=False),
)
"""Handlings of suspects that have not ended well; ``ended``: their process has ended."""

MIGRATION = Migration("suspects", [HOLDING, SUSPECT])

Partition = tuple[str, int]
"""Topic and number."""


class ProcessEnded(Exception):
    """The process ended in the middle of each handling of an event."""


class Suspects:
    """One process's part in it."""

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
        """Note what this process holds, before it handles anything of it; waits for the database."""
        self._doubtful = await self._persist("note the partitions held", partial(self._take, partitions=partitions))
        if self._doubtful:
            _log.warning("held by a process that ended without a word", partitions=sorted(self._doubtful))

    async def let_go(self) -> None:
        """Take the note away. Raises what the database raises; then whoever comes next is careful in vain."""
        ours = sa.and_(HOLDING.c.consumer_group == self._group, HOLDING.c.holder == self._me)
        await self._database.write(lambda transaction: transaction.execute(sa.delete(HOLDING).where(ours)))

    @asynccontextmanager
    async def handling(self, message: Message) -> AsyncIterator[None]:
        """Around each handling of a message. Raises ``ProcessEnded`` if it has ended too many processes."""
        if _partition(message) in self._doubtful:
            async with self._one_suspect, self._alone(), self._noted(message):
                yield
            return
        while not self._no_suspect.is_set():  # between its being set and this task's turn another may have come
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
        """The message is closed, by this very handling: no suspect of its partition is left, and it was none."""
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
                raise ProcessEnded(f"each of {ends} handlings ended the process")
            yield
        finally:
            ours = sa.delete(SUSPECT).where(_same(message), SUSPECT.c.holder == self._me)
            # Also when this task is cancelled, and for as long as the process lives: it has not ended.
            await asyncio.shield(self._persist("note that it ended", lambda transaction: transaction.execute(ours)))

    async def _persist(self, what: str, work: Callable[[sa.Connection], T]) -> T:
        return await self._backoff.persist(lambda: self._database.write(work), what)

    def _take(self, transaction: sa.Connection, partitions: Collection[Partition]) -> set[Partition]:
        """The partitions whose holders never let go; of those that they had in hand, the noted ones count from now."""
        left: dict[Partition, str] = {}
        for topic, number in sorted(partitions):
            key = {"consumer_group": self._group, "topic": topic, "partition": number}
            if not insert_if_absent(transaction, HOLDING, **key, holder=self._me):
                same = sa.and_(*(HOLDING.c[name] == value for name, value in key.items()))
                left[topic, number] = transaction.execute(sa.select(HOLDING.c.holder).where(same)).scalar_one()
                transaction.execute(sa.update(HOLDING).where(same).values(holder=self._me))
        others = set(left.values()) - {self._me}
        transaction.execute(sa.update(SUSPECT).where(SUSPECT.c.holder.in_(others)).values(ended=True))
        return {partition for partition, holder in left.items() if holder in others}

    def _note(self, transaction: sa.Connection, message: Message) -> int:
        """How many processes ended over it."""
        insert_if_absent(transaction, SUSPECT, **message.key, holder=self._me, ended=False)
        ended = sa.select(sa.func.count()).where(_same(message), SUSPECT.c.ended)
        return int(transaction.execute(ended).scalar_one())


def _partition(message: Message) -> Partition:
    return message.delivery.topic, message.delivery.partition


def _same(message: Message) -> sa.ColumnElement[bool]:
    return sa.and_(*(SUSPECT.c[name] == value for name, value in message.key.items()))
