"""The effect ledger: one row for each effect that a consumer has applied.

It deliberately has no unique constraint: only the inbox prevents a second row, so a duplicate would show.
"""

import sqlalchemy as sa

from reference_impl.service_libs.database import ENTRY, METADATA, Migration
from reference_impl.service_libs.message import Message

EFFECT_LEDGER = sa.Table(
    "effect_ledger",
    METADATA,
    sa.Column("entry", ENTRY, primary_key=True, autoincrement=True),
    sa.Column("consumer", sa.String, nullable=False),
    sa.Column("event_id", sa.String, nullable=False),
    sa.Column("business_key", sa.String, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
    sqlite_autoincrement=True,
)

MIGRATION = Migration("effect_ledger", [EFFECT_LEDGER])


_RECORD = sa.insert(EFFECT_LEDGER)


def record(transaction: sa.Connection, message: Message, business_key: str) -> None:
    """Record that a message was applied, in the transaction that applies it."""
    transaction.execute(_RECORD, {**message.key, "business_key": business_key})
