"""The inbox: a consumer's durable record of the messages that it has closed."""

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
"""One row per consumer and event: it makes the effect the only one. Rows of dead letters are kept forever, those of
applied events for ``RETENTION_HOURS``: an event that comes again later is applied again.
"""

QUARANTINE = sa.Table(
    "quarantine",
    METADATA,
    sa.Column("consumer", sa.String, primary_key=True),
    sa.Column("event_id", sa.String, primary_key=True),
    sa.Column("digest", sa.String, primary_key=True),
)
"""Different payloads under the id of a closed event, each reported once."""

APPLIED = "applied"
"""``closed_as`` of an applied message; the other values are kinds of dead letters."""

MIGRATION = Migration("inbox", [INBOX, QUARANTINE], ages=[INBOX.c.applied_at])

_KNOWN = sa.select(INBOX.c.digest, INBOX.c.closed_as).where(
    INBOX.c.consumer == sa.bindparam("consumer"), INBOX.c.event_id == sa.bindparam("event_id")
)


class Closing(StrEnum):
    """The result of closing a message: it is new, was applied before, was set aside before, or conflicts."""

    NEW = "new"
    DUPLICATE = "duplicate"
    SET_ASIDE = "set_aside"
    CONFLICT = "conflict"


@dataclass(frozen=True)
class Inbox:
    """Closes messages and writes their dead letters. Every method runs inside the caller's transaction."""

    settings: KafkaSettings
    outbox: Outbox
    clock: Clock

    def look(self, transaction: sa.Connection, message: Message) -> Closing:
        """Return what closing the message would result in, without closing it."""
        row = transaction.execute(_KNOWN, message.key).one_or_none()
        if row is None:
            return Closing.NEW
        if row.digest != message.digest:
            return Closing.CONFLICT
        return Closing.DUPLICATE if row.closed_as == APPLIED else Closing.SET_ASIDE

    def close(self, transaction: sa.Connection, message: Message, closed_as: str = APPLIED) -> Closing:
        """Insert the message's row, as the first step of its transaction, and return what was there before."""
        closed = {"closed_as": closed_as, "applied_at": self.clock.now() if closed_as == APPLIED else None}
        closing = Closing.NEW
        while closing is Closing.NEW:
            if insert_if_absent(transaction, INBOX, **message.key, **closed):
                return Closing.NEW
            # On Postgres a replay may delete the row between these two statements: then this message has to insert its own.
            closing = self.look(transaction, message)
        if closing is Closing.CONFLICT and insert_if_absent(transaction, QUARANTINE, **message.key):
            reason = "a different payload was delivered earlier under this event id"
            self._report(transaction, message, DeadLetterKind.CONFLICT, reason, 0)
        return closing

    def set_aside(
        self, transaction: sa.Connection, message: Message, kind: DeadLetterKind, reason: str, attempts: int
    ) -> Closing:
        """Close a message with a dead letter; do nothing if it was closed before."""
        closing = self.close(transaction, message, closed_as=kind)
        if closing is Closing.NEW:
            self._report(transaction, message, kind, reason, attempts)
        return closing

    def _report(
        self, transaction: sa.Connection, message: Message, kind: DeadLetterKind, reason: str, attempts: int
    ) -> None:
        letter = dead_letter(message, kind, reason, attempts).model_dump_json().encode()
        self.outbox.add(transaction, self.settings.topic_dead_letters, message.event_id, letter)
