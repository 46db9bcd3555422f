"""Follow-up events: what a consumer tells because of what it was told."""

from dataclasses import dataclass

from sqlalchemy import Connection

from reference_impl.common_core.events import EventData, fact
from reference_impl.service_libs.clock import Clock
from reference_impl.service_libs.message import Message
from reference_impl.service_libs.outbox import Outbox


@dataclass(frozen=True)
class Teller:
    """Leaves events in the outbox, in the name of one service."""

    outbox: Outbox
    clock: Clock
    source: str

    def tell(self, transaction: Connection, because: Message, data: EventData, *, topic: str, key: str) -> None:
        """Tell ``data`` if the transaction commits; the event names its cause and keeps its correlation."""
        event = fact(
            data,
            source=self.source,
            now=self.clock.now(),
            correlation_id=because.event.correlation_id if because.event else because.event_id,
            causation_id=because.event_id,
        )
        self.outbox.add(transaction, topic, key, event.model_dump_json().encode())
