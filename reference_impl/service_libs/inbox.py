"""A consumer's durable memory: which messages it has closed, and what it tried on those still open."""

from __future__ import annotations

from enum import StrEnum

import orjson
from sqlalchemy import Column, ColumnElement, Integer, String, Table, and_, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateTable

from reference_impl.common_core.enums import DeadLetterKind
from reference_impl.service_libs.database import METADATA, Database, Migration, insert_if_absent, insert_into
from reference_impl.service_libs.dead_letter import dead_letter
from reference_impl.service_libs.message import Message
from reference_impl.service_libs.outbox import Outbox

INBOX = Table(
    "inbox",
    METADATA,
    Column("consumer", String, primary_key=True),
    Column("event_id", String, primary_key=True),
    Column("digest", String, nullable=False),
    Column("closed_as", String, nullable=False),
)
"""One row a consumer and event: the row that makes its effect the only one."""

QUARANTINE = Table(
    "quarantine",
    METADATA,
    Column("consumer", String, primary_key=True),
    Column("event_id", String, primary_key=True),
    Column("digest", String, primary_key=True),
)
"""Other payloads that came under the id of a closed event, each reported once."""

ATTEMPT = Table(
    "attempt",
    METADATA,
    Column("consumer", String, primary_key=True),
    Column("event_id", String, primary_key=True),
    Column("digest", String, primary_key=True),
    Column("started", Integer, nullable=False),
    Column("last_error", String),
)
"""Attempts on messages that are still open."""

APPLIED = "applied"
"""``closed_as`` of a message that had its effect; the others are kinds of dead letters."""

MIGRATION = Migration("inbox", tuple(CreateTable(table) for table in (INBOX, QUARANTINE, ATTEMPT)))


class Closing(StrEnum):
    """What closing a message's row came to: it is new, was applied before, was set aside before, or contradicts."""

    NEW = "new"
    DUPLICATE = "duplicate"
    SET_ASIDE = "set_aside"
    CONFLICT = "conflict"


class Inbox:
    """The tables above, and the dead letters that leave with them."""

    def __init__(self, database: Database, outbox: Outbox, dead_letter_topic: str) -> None:
        self._database = database
        self._outbox = outbox
        self._dead_letter_topic = dead_letter_topic

    async def close(self, transaction: AsyncConnection, message: Message, closed_as: str = APPLIED) -> Closing:
        """Insert the message's row, first thing in its transaction, and say what was there."""
        key = {"consumer": message.consumer, "event_id": message.event_id}
        if await insert_if_absent(transaction, INBOX, **key, digest=message.digest, closed_as=closed_as):
            return Closing.NEW
        same = INBOX.c.consumer == message.consumer, INBOX.c.event_id == message.event_id
        known = (await transaction.execute(select(INBOX.c.digest, INBOX.c.closed_as).where(*same))).one()
        if known.digest != message.digest:
            return Closing.CONFLICT
        return Closing.DUPLICATE if known.closed_as == APPLIED else Closing.SET_ASIDE

    async def quarantine(self, transaction: AsyncConnection, message: Message) -> None:
        """Report a payload that contradicts the one its id was closed with, once."""
        row = {"consumer": message.consumer, "event_id": message.event_id, "digest": message.digest}
        if await insert_if_absent(transaction, QUARANTINE, **row):
            reason = "another payload was delivered under this event id before"
            await self._report(transaction, message, DeadLetterKind.CONFLICT, reason, 0)

    async def set_aside(self, message: Message, kind: DeadLetterKind, reason: str, attempts: int) -> Closing:
        """Close a message by a dead letter, in one transaction; nothing if it was closed before."""
        async with self._database.transaction() as transaction:
            closing = await self.close(transaction, message, closed_as=kind)
            if closing is Closing.NEW:
                await self._report(transaction, message, kind, reason, attempts)
            elif closing is Closing.CONFLICT:
                await self.quarantine(transaction, message)
            await self.forget_attempts(transaction, message)
        return closing

    async def begin_attempt(self, message: Message) -> tuple[int, str | None]:
        """Count an attempt before it starts: how many there are now, and how the last one failed.

        The count is there to bound an event that kills the process, so it survives that, and no loss of power: it
        waits for no disk, as nothing but one more attempt is lost with it.
        """
        row = {"consumer": message.consumer, "event_id": message.event_id, "digest": message.digest}
        async with self._database.transaction(durable=False) as transaction:
            counted = await transaction.execute(
                insert_into(transaction, ATTEMPT)
                .values(**row, started=1)
                .on_conflict_do_update(index_elements=list(row), set_={"started": ATTEMPT.c.started + 1})
                .returning(ATTEMPT.c.started, ATTEMPT.c.last_error)
            )
            started, last_error = counted.one()
        return started, last_error

    async def end_attempt(self, message: Message, error: str | None) -> None:
        """Note how an attempt failed; None gives it back, as it ended by no fault of the handler's."""
        spent = {"last_error": error} if error is not None else {"started": ATTEMPT.c.started - 1}
        async with self._database.transaction(durable=False) as transaction:
            await transaction.execute(update(ATTEMPT).where(_same(message)).values(**spent))
            await transaction.execute(delete(ATTEMPT).where(_same(message), ATTEMPT.c.started == 0))

    async def forget_attempts(self, transaction: AsyncConnection, message: Message) -> None:
        """Drop the count, in the transaction that closes the message."""
        await transaction.execute(delete(ATTEMPT).where(_same(message)))

    async def _report(
        self, transaction: AsyncConnection, message: Message, kind: DeadLetterKind, reason: str, attempts: int
    ) -> None:
        letter = orjson.dumps(dead_letter(message, kind, reason, attempts))
        await self._outbox.add(transaction, self._dead_letter_topic, message.event_id, letter)


def _same(message: Message) -> ColumnElement[bool]:
    return and_(
        ATTEMPT.c.consumer == message.consumer,
        ATTEMPT.c.event_id == message.event_id,
        ATTEMPT.c.digest == message.digest,
    )
