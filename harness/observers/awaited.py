"""Which uploads, batches and events have no outcome yet, by the rules that ask for one."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from harness.observers.disk_map import DiskMap

if TYPE_CHECKING:
    from harness.system import Outcome

_ID: Final = 8
"""Bytes that are kept of an outcome's id."""

_MOST: Final = 8
"""Outcomes of one key that are told apart: more are never asked for."""


class Awaited:
    """Asked and answered in either order, and as often as it happens; in memory is only what still waits."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._outcomes = outcomes
        self._waiting: list[set[str]] = [set() for _ in outcomes]
        self._answered = [DiskMap() for _ in outcomes]
        """Key -> what tells its outcomes apart, one after the other."""
        self._more: list[Counter[str]] = [Counter() for _ in outcomes]
        """Key -> how many outcomes it must have beyond the first."""

    def asked(self, of: str, key: str) -> None:
        """An upload or a batch must have its outcome."""
        for number, rule in enumerate(self._outcomes):
            if rule.of == of:
                self._ask(number, key)

    def asked_again(self, of: str, key: str) -> None:
        """An upload must have one more outcome, which is another event."""
        for number, rule in enumerate(self._outcomes):
            if rule.of == of:
                self._more[number][key] += 1
                self._ask(number, key)

    def saw(self, event_type: str, joins: Mapping[str, str], event_id: str) -> None:
        """An event of this type, with its key by the number of each rule that it is part of."""
        for number, key in ((int(number), key) for number, key in joins.items()):
            if event_type == self._outcomes[number].of:
                self._ask(number, key)
            else:
                self._answer(number, key, event_id)

    def answered(self, of: str, key: str) -> bool:
        """Whether an outcome of it was seen, asked for or not."""
        return any(key in self._answered[number] for number, rule in enumerate(self._outcomes) if rule.of == of)

    def settled(self, of: str, key: str) -> bool:
        """Whether there is a rule about it, and each has the outcomes that it asks for."""
        about = [number for number, rule in enumerate(self._outcomes) if rule.of == of]
        return bool(about) and all(self._enough(number, key) for number in about)

    def _ask(self, rule: int, key: str) -> None:
        if not self._enough(rule, key):
            self._waiting[rule].add(key)

    def _answer(self, rule: int, key: str, event_id: str) -> None:
        known = self._answered[rule].get(key) or b""
        new = hashlib.blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=_ID).digest()
        if len(known) < _MOST * _ID and new not in {known[at : at + _ID] for at in range(0, len(known), _ID)}:
            self._answered[rule].keep(key, known + new)
        if self._enough(rule, key):
            self._waiting[rule].discard(key)

    def _enough(self, rule: int, key: str) -> bool:
        wanted = min(1 + self._more[rule][key], _MOST)
        return len(self._answered[rule].get(key) or b"") >= wanted * _ID

    def __len__(self) -> int:
        """How many wait, each once for every rule that asks."""
        return sum(len(waiting) for waiting in self._waiting)

    def close(self) -> None:
        """Let the files go."""
        for answered in self._answered:
            answered.close()
