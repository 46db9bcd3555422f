"""What moves in a system, and what is still missing, by what the observers saw last."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from harness.observers.dead_letters import DeadLetters
    from harness.observers.effects import Effects
    from harness.observers.offsets import Offsets
    from harness.observers.topics import Topics
    from harness.observers.totals import Totals
    from harness.stack import Fields
    from harness.system import System

_LATELY: Final = 30.0
"""Seconds over which rates of progress are averaged."""


class Activity:
    """Tells from the observers of one run whether the system still moves, and whether it is done."""

    def __init__(  # noqa: PLR0913 - what there is to see
        self,
        system: System,
        topics: Topics,
        offsets: Offsets,
        effects: Effects,
        *,
        totals: Totals | None,
        letters: DeadLetters | None,
    ) -> None:
        self._system, self._topics, self._offsets, self._effects = system, topics, offsets, effects
        self._totals, self._letters = totals, letters
        self._backlog: int | None = None
        self._progress: deque[tuple[float, tuple[int, ...]]] = deque()
        self._moved = time.monotonic()

    def count(self, *, whole: bool) -> None:
        """Count the backlog, after the topics were read; ``whole``: up to their ends."""
        self._backlog = self._counted() if whole else None

    def _counted(self) -> int | None:
        """Return how many records groups had not passed at the last pass of the offsets; None if that pass failed.

        The topics were read after that pass, past the ends it saw, so the last record before each end is known: a
        transaction marker behind it does not count.
        """
        if self._offsets.latest is None:
            return None
        return sum(
            max(0, min(self._topics.last.get(group.place, -1) + 1, group.end) - (group.committed or 0))
            for group in self._offsets.latest
            if group.consumer in self._offsets.committing
        )

    def note(self) -> None:
        """Note what has moved, after a round of passes."""
        now, pulse = time.monotonic(), self.pulse()
        if not self._progress or self._progress[-1][1] != pulse:
            self._moved = now
        self._progress.append((now, pulse))
        while now - self._progress[0][0] > _LATELY:
            self._progress.popleft()

    def idle(self) -> bool:
        """Whether groups have passed every record, and no outcome, follow-up or dead letter is missing."""
        return self._backlog == 0 and not self._topics.awaited and not self._idlers() and not self._letters_awaited()

    def _idlers(self) -> list[str]:
        """Return the consumers without committed offsets and effects, although there are events for them to apply."""
        return [
            name
            for name, effects in self._system.effects.items()
            if name not in self._offsets.committing
            and not self._changes(name)
            and any(kind in self._topics.types for kind in effects.applies)
        ]

    def _changes(self, consumer: str) -> int:
        """Return how many effects of a consumer, and changes of its totals, were seen so far."""
        totals = self._totals.counts if self._totals is not None else {}
        return self._effects.counts.get(consumer, 0) + totals.get(consumer, 0)

    def _letters_awaited(self) -> int:
        """Return how many malformed records consumers have yet to set aside: a dead letter may wait in an outbox."""
        if self._letters is None:
            return 0
        made, awaited = self._letters.made, 0
        for name, reads in self._offsets.reads.items():
            kinds = {None, *self._system.effects[name].applies}
            due = sum(topic in reads and kind in kinds for topic, kind in self._topics.malformed)
            awaited += max(0, due - made[name])
        return awaited

    @property
    def told_by_silence(self) -> list[str]:
        """Consumers with events to apply whose offsets do not say that they are done: only silence does.

        They have committed none, or their effects may come after it.
        """
        deferred = self._system.deferred()
        applied = {name: effects.applies for name, effects in self._system.effects.items()}
        return [
            name
            for name, kinds in applied.items()
            if (name in deferred or name not in self._offsets.committing)
            and any(kind in self._topics.types for kind in kinds)
        ]

    def pulse(self) -> tuple[int, ...]:
        """Return counts that change whenever anything moved: records, effects, dead letters, committed offsets."""
        offsets = self._offsets.latest or ()
        return (
            self._topics.count,
            sum(self._changes(name) for name in self._system.effects),
            len(self._letters.letters) if self._letters is not None else 0,
            sum(group.committed or 0 for group in offsets) if offsets else self._last_committed(),
        )

    def _last_committed(self) -> int:
        return self._progress[-1][1][3] if self._progress else 0

    def quiet_for(self) -> float:
        """Return for how many seconds nothing had moved at the last round; later movement is not known yet."""
        return self._progress[-1][0] - self._moved if self._progress else 0.0

    def unfinished(self) -> Fields:
        """Return what is still missing and the recent rates, to help the user choose a longer ``drain``.

        The rates are averages over the last ``seconds``: records that groups passed, events and effects.
        """
        if not self._progress:
            return {}
        (first, before), (last, after) = self._progress[0], self._progress[-1]
        seconds = max(last - first, 0.001)
        return {
            "backlog": self._backlog,
            "awaited": len(self._topics.awaited),
            "letters_awaited": self._letters_awaited(),
            "idle": ", ".join(self._idlers()),
            "quiet_seconds": round(self.quiet_for(), 1),
            "seconds": round(seconds, 1),
            "passed_per_second": round(max(0, after[3] - before[3]) / seconds, 1),
            "events_per_second": round(max(0, after[0] - before[0]) / seconds, 1),
            "effects_per_second": round(max(0, after[1] - before[1]) / seconds, 1),
        }
