"""The effect ledger: one row for each effect that a consumer applied.

It has no unique constraint, on purpose: only the inbox prevents a second row, so a duplicate can be seen.
"""

from __future__ import annotations

from sqlalchemy import Column, Connection, Integer, String, Table, insert
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


_RECORD = insert(EFFECT_LEDGER)


def record(transaction: Connection, message: Message, business_key: str) -> None:
    """Write down that a message was applied, in the transaction that applies it."""
    transaction.execute(
        _RECORD,
        {
            "consumer": message.consumer,
            "event_id": message.event_id,
            "business_key": business_key,
            "digest": message.digest,
        },
    )
