"""A consumer's durable memory: which messages it has closed."""

from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from reference_impl.common_core.enums import DeadLetterKind
from reference_impl.service_libs.clock import Clock
from reference_impl.service_libs.database import METADATA, Migration, insert_if_absent
from reference_impl.service_libs.dead_letter import dead_letter
from reference_impl.service_libs.message import Message
from reference_impl.service_libs.outbox import Outbox
from reference_impl.service_libs.settings import KafkaSettings

INBOX = sa.Table(
    "inbox",
    METADATA,
    sa.Column("consumer", sa.String, primary_key=True),
    sa.Column("event_id", sa.String, primary_key=True),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("closed_as", sa.String, nullable=False),
    sa.Column("applied_at", sa.DateTime(timezone=True), index=True),
)
"""One row a consumer and event: the row that makes its effect the only one. What was set aside is kept for ever."""

QUARANTINE = sa.Table(
    "quarantine",
    METADATA,
    sa.Column("consumer", sa.String, primary_key=True),
    sa.Column("event_id", sa.String, primary_key=True),
    sa.Column("digest", sa.String, primary_key=True),
)
"""Other payloads that came under the id of a closed event, each reported once."""

APPLIED = "applied"
"""``closed_as`` of a message that had its effect; the others are kinds of dead letters."""

MIGRATION = Migration("inbox", [INBOX, QUARANTINE], ages=[INBOX.c.applied_at])

_KNOWN = sa.select(INBOX.c.digest, INBOX.c.closed_as).where(
    INBOX.c.consumer == sa.bindparam("consumer"), INBOX.c.event_id == sa.bindparam("event_id")
)


class Closing(StrEnum):
    """What closing a message's row came to: it is new, was applied before, was set aside before, or contradicts."""

    NEW = "new"
    DUPLICATE = "duplicate"
    SET_ASIDE = "set_aside"
    CONFLICT = "conflict"


@dataclass(frozen=True)
class Inbox:
    """The tables above, and the dead letters that leave with them. Every method is part of a transaction."""

    settings: KafkaSettings
    outbox: Outbox
    clock: Clock

    def look(self, transaction: sa.Connection, message: Message) -> Closing:
        """What closing the message would come to."""
        known = transaction.execute(_KNOWN, message.key).one_or_none()
        if known is None:
            return Closing.NEW
        if known.digest != message.digest:
            return Closing.CONFLICT
        return Closing.DUPLICATE if known.closed_as == APPLIED else Closing.SET_ASIDE

    def close(self, transaction: sa.Connection, message: Message, closed_as: str = APPLIED) -> Closing:
        """Insert the message's row, first thing in its transaction, and say what was there."""
        closed = {"closed_as": closed_as, "applied_at": self.clock.now() if closed_as == APPLIED else None}
        if insert_if_absent(transaction, INBOX, **message.key, **closed):
            return Closing.NEW
        closing = self.look(transaction, message)
        if closing is Closing.CONFLICT and insert_if_absent(transaction, QUARANTINE, **message.key):
            reason = "another payload was delivered under this event id before"
            self._report(transaction, message, DeadLetterKind.CONFLICT, reason, 0)
        return closing

    def set_aside(
        self, transaction: sa.Connection, message: Message, kind: DeadLetterKind, reason: str, attempts: int
    ) -> Closing:
        """Close a message by a dead letter; nothing if it was closed before."""
        closing = self.close(transaction, message, closed_as=kind)
        if closing is Closing.NEW:
            self._report(transaction, message, kind, reason, attempts)
        return closing

    def _report(
        self, transaction: sa.Connection, message: Message, kind: DeadLetterKind, reason: str, attempts: int
    ) -> None:
        letter = dead_letter(message, kind, reason, attempts).model_dump_json().encode()
        self.outbox.add(transaction, self.settings.topic_dead_letters, message.event_id, letter)
