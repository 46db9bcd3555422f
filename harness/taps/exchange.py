"""One request and its reply, as the history keeps them."""

from __future__ import annotations

from dataclasses import dataclass

from harness.taps.held import PASSES, Fate
from harness.taps.message import Message


@dataclass(slots=True)
class Exchange:
    """``begun``: when the request came, in ns since the run's start."""

    request: Message
    begun: int
    fate: Fate = PASSES
    """Of the request."""
    reply_fate: Fate = PASSES
    reply: Message | None = None
    """Once it has passed."""
    repeats: Exchange | None = None
    """The exchange whose request the tap sent once more; nobody waits for this one's reply."""
    sent: bytes = b""
    """Of such a second request: what was sent."""

    @property
    def own(self) -> bool:
        """Whether its turn in the order of replies is the tap's."""
        return self.fate.own
