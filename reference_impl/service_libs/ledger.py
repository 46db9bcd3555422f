"""The effect ledger: one row for each effect that a consumer applied.

It has no unique constraint, on purpose: only the inbox prevents a second row, so a duplicate can be seen.
"""

from __future__ import annotations

from sqlalchemy import Column, Integer, String, Table, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateTable

from reference_impl.service_libs.database import METADATA, Migration
from reference_impl.service_libs.message import Message

EFFECT_LEDGER = Table(
    "effect_ledger",
    METADATA,
    Column("entry", Integer, primary_key=True, autoincrement=True),
    Column("consumer", String, nullable=False),
    Column("event_id", String, nullable=False, index=True),
    Column("business_key", String, nullable=False),
    Column("digest", String, nullable=False),
    sqlite_autoincrement=True,
)

MIGRATION = Migration("effect_ledger", (CreateTable(EFFECT_LEDGER),))


async def record(transaction: AsyncConnection, message: Message, business_key: str) -> None:
    """Write down that a message was applied, in the transaction that applies it."""
    await transaction.execute(
        insert(EFFECT_LEDGER).values(
            consumer=message.consumer,
            event_id=message.event_id,
            business_key=business_key,
            digest=message.digest,
        )
    )
