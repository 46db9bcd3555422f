"""Which uploads, batches and events still lack an outcome, by the system file's rules."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from harness.observers.disk_map import DiskMap

if TYPE_CHECKING:
    from harness.system_events import Outcome

_ID: Final = 8
"""Bytes kept of the digest of an outcome's id."""

_MOST: Final = 8
"""Most distinct outcomes of one key that are counted or required."""


class Awaited:
    """Matches keys that need an outcome with outcomes seen, in either order; only waiting keys are held in memory."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._outcomes = outcomes
        self._kinds = [rule.kind() for rule in outcomes]
        self._spared = [DiskMap() for _ in outcomes]
        """Uploads that are not of the rule's kind, and need no outcome by it."""
        self._waiting: list[set[str]] = [set() for _ in outcomes]
        self._answered = [DiskMap() for _ in outcomes]
        """Key -> the digests of its outcomes' ids, concatenated."""
        self._more: Counter[tuple[str, str]] = Counter()
        """What an outcome is of, and its key -> how many outcomes it needs beyond the first, by any one of its rules."""

    def asked(self, of: str, key: str, *, acceptable: bool) -> None:
        """Note that an upload, which should pass validation or not, or a batch needs an outcome."""
        for number, rule in enumerate(self._outcomes):
            if rule.of == of and self._kinds[number] in {None, acceptable}:
                self._ask(number, key)
            elif rule.of == of:
                self._spared[number].keep(key)

    def asked_again(self, of: str, key: str) -> None:
        """Note that an upload needs one more outcome, which must be another event, by one of its rules."""
        self._more[of, key] += 1
        for number in self._concerned(of, key):
            self._ask(number, key)

    def saw(self, event_type: str, joins: Mapping[str, str], event_id: str) -> None:
        """Note an event of this type; ``joins`` maps the number of each rule that it matches to its joining key."""
        for number, key in ((int(number), key) for number, key in joins.items()):
            if event_type == self._outcomes[number].of:
                self._ask(number, key)
            else:
                self._answer(number, key, event_id)

    def answered(self, of: str, key: str) -> bool:
        """Whether any outcome of the key was seen, needed or not."""
        return any(key in self._answered[number] for number, rule in enumerate(self._outcomes) if rule.of == of)

    def settled(self, of: str, key: str) -> bool:
        """Whether at least one rule applies, and every such rule has all the outcomes it asks for."""
        rules = self._concerned(of, key)
        return bool(rules) and all(self._enough(number, key) for number in rules)

    def _concerned(self, of: str, key: str) -> list[int]:
        return [
            number for number, rule in enumerate(self._outcomes) if rule.of == of and key not in self._spared[number]
        ]

    def _ask(self, rule: int, key: str) -> None:
        if not self._enough(rule, key):
            self._waiting[rule].add(key)

    def _answer(self, rule: int, key: str, event_id: str) -> None:
        ids = self._answered[rule].get(key) or b""
        new = hashlib.blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=_ID).digest()
        if len(ids) < _MOST * _ID and new not in {ids[at : at + _ID] for at in range(0, len(ids), _ID)}:
            self._answered[rule].keep(key, ids + new)
        of = self._outcomes[rule].of
        for number in self._concerned(of, key) if (of, key) in self._more else [rule]:
            if self._enough(number, key):
                self._waiting[number].discard(key)

    def _enough(self, rule: int, key: str) -> bool:
        of = self._outcomes[rule].of
        more = self._more.get((of, key), 0)
        return self._has(rule, key, 1) and (
            not more or any(self._has(number, key, 1 + more) for number in self._concerned(of, key))
        )

    def _has(self, rule: int, key: str, needed: int) -> bool:
        return len(self._answered[rule].get(key) or b"") >= min(needed, _MOST) * _ID

    def __len__(self) -> int:
        """Return how many keys still wait, counting each once per rule."""
        return sum(len(waiting) for waiting in self._waiting)

    def close(self) -> None:
        """Delete the temporary files."""
        for kept in (*self._answered, *self._spared):
            kept.close()
