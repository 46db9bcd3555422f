"""One request and its reply, as the history keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.stack import Record
from harness.taps.held import PASSES, Fate
from harness.taps.message import Message, Place


@dataclass(slots=True)
class Exchange:
    """A request and its reply; ``begun`` is when the request came, in ns since the run's start."""

    request: Message
    begun: int
    fate: Fate = PASSES
    """What becomes of the request."""
    reply_fate: Fate = PASSES
    reply: Message | None = None
    """The reply, once it has passed."""
    repeats: Exchange | None = None
    """The exchange whose request the tap sent once more; the tap swallows the reply to this one."""
    sent: bytes = b""
    """The bytes of such a second request."""

    altered: Record | None = None
    """Of an altered request, the record that is another now; its offset counts from its batch's first."""

    def placed(self, places: Sequence[Place]) -> Record | None:
        """Return the altered record at its place on the broker, by what the reply says of each batch; None if it has none."""
        record = self.altered
        for topic, partition, base in places if record is not None else ():
            if record is not None and (topic, partition) == (record.topic, record.partition) and base >= 0:
                return replace(record, offset=base + record.offset)
        return None

    @property
    def own(self) -> bool:
        """Whether the tap, not the dependency, takes its turn in the order of replies."""
        return self.fate.own

    @property
    def swallowed(self) -> bool:
        """Whether the dependency answers something that the tap itself has sent, so that its reply does not pass."""
        return self.repeats is not None or bool(self.fate.instead)
