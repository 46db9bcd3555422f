"""Which uploads, batches and events have no outcome yet, by the rules that ask for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.observers.kept import Kept

if TYPE_CHECKING:
    from harness.system import Outcome


class Awaited:
    """Asked and answered in either order, and as often as it happens; in memory is only what still waits."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._outcomes = outcomes
        self._waiting: list[set[str]] = [set() for _ in outcomes]
        self._answered = [Kept() for _ in outcomes]

    def asked(self, of: str, key: str) -> None:
        """An upload or a batch must have its outcome."""
        for number, rule in enumerate(self._outcomes):
            if rule.of == of:
                self._ask(number, key)

    def saw(self, event_type: str, joins: Mapping[str, str]) -> None:
        """An event of this type, with its key by the number of each rule that it is part of."""
        for number, key in joins.items():
            if event_type == self._outcomes[int(number)].of:
                self._ask(int(number), key)
            else:
                self._answered[int(number)].keep(key)
                self._waiting[int(number)].discard(key)

    def _ask(self, rule: int, key: str) -> None:
        if key not in self._answered[rule]:
            self._waiting[rule].add(key)

    def __len__(self) -> int:
        """How many wait, each once for every rule that asks."""
        return sum(len(waiting) for waiting in self._waiting)

    def close(self) -> None:
        """Let the files go."""
        for answered in self._answered:
            answered.close()
