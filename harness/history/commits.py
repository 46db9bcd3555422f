"""Commits of offsets that taps saw: whether a delivery was over when its replica died, as far as anybody can know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from harness.history.reader import History

Place = tuple[str, int, int]
"""Topic, partition and offset."""


@dataclass(slots=True)
class Life:
    """One lifetime of a replica that ended with its death."""

    replica: str
    began: int
    died: int
    again: float = float("inf")
    """When the replica was started next, if it ever was."""


@dataclass(frozen=True, slots=True)
class _Commit:
    t_begin: int
    places: Sequence[Place] | None
    """None: it is unknown what it committed, as it was too large for the tap, or of a version that the tap cannot read."""
    executed: bool
    """Whether the broker is known to have executed it."""


_COMMITS: Final = """
SELECT t_begin, split_part(link, '->', 1) AS replica, places,
       phase IN ('answered', 'lost_reply', 'refused_reply', 'cut_reply') AS executed
FROM history
WHERE op = 'wire' AND command IN ('OffsetCommit', 'TxnOffsetCommit') AND phase NOT IN ('refused', 'lost_request', 'repeated')
ORDER BY i
"""


class Commits:
    """Every commit that may have reached the broker, by replica."""

    def __init__(self, history: History) -> None:
        self._of: defaultdict[str, list[_Commit]] = defaultdict(list)
        self._topics: set[tuple[str, str]] = set()
        for row in history.sql(_COMMITS):
            places = None if row["places"] is None else [(str(topic), *at) for topic, *at in row["places"]]
            self._of[row["replica"]].append(_Commit(row["t_begin"], places, row["executed"]))
            self._topics |= {(row["replica"].partition("#")[0], topic) for topic, _, _ in places or ()}

    def tell(self, consumer: str, places: Collection[Place]) -> bool:
        """Whether the consumer's commits pass taps: one that keeps its offsets elsewhere never says that it is done."""
        return all((consumer, topic) in self._topics for topic, _, _ in places)

    def over(self, life: Life, places: Collection[Place]) -> bool | None:
        """Whether a record at one of ``places`` was passed in this life; None if it may have been.

        A commit without an answer may have been executed, and so may one that came to the tap only after the death.
        """
        over: bool | None = False
        for one in self._of[life.replica]:
            if not life.began <= one.t_begin < life.again:
                continue
            if one.places is not None and not any(_behind(place, one.places) for place in places):
                continue
            if one.places is not None and one.executed and one.t_begin <= life.died:
                return True
            over = None
        return over


def _behind(place: Place, passed: Sequence[Place]) -> bool:
    """Whether one of the committed offsets is past a place."""
    topic, partition, offset = place
    return any(topic == of and partition == number and next_ > offset for of, number, next_ in passed)
