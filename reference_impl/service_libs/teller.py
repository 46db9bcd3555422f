"""Follow-up events: what a consumer publishes because of a message."""

from dataclasses import dataclass

from sqlalchemy import Connection

from reference_impl.common_core.events import EventData, fact
from reference_impl.service_libs.clock import Clock
from reference_impl.service_libs.message import Message
from reference_impl.service_libs.outbox import Outbox


@dataclass(frozen=True)
class Teller:
    """Writes one service's events to the outbox."""

    outbox: Outbox
    clock: Clock
    source: str

    def tell(self, transaction: Connection, because: Message, data: EventData, *, topic: str, key: str) -> None:
        """Publish ``data`` if the transaction commits; the event names its cause and keeps its correlation id."""
        event = fact(
            data,
            source=self.source,
            now=self.clock.now(),
            correlation_id=because.event.correlation_id if because.event else because.event_id,
            causation_id=because.event_id,
        )
        self.outbox.add(transaction, topic, key, event.model_dump_json().encode())
