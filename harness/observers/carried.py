"""The values that events carry, to tell whether an effect's name could have been computed from its event."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from harness.observers.identity import identity
from harness.stack import Record

SAMPLE: Final = 300
"""Events of each type whose values are kept: a few show how a service names its effects."""

Of = str | tuple[str, str] | None
"""An event's id, or a consumer and the business key by which its effects name the event."""

_MOST: Final = 200
"""Values kept per event."""


class Carried:
    """The values of a sample of events, by event id."""

    def __init__(self) -> None:
        self._carried: dict[Of, tuple[str, Mapping[str, Sequence[str]]]] = {}
        self._count: Counter[str] = Counter()
        self._distinct: dict[str, dict[str, set[str]]] = {}
        """For each event type, the different values seen at each location."""
        self._used: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """For each event type, how many names held a value of each location that was nowhere else in the event."""

    def note(
        self, event_id: str, event_type: str, record: Record, value: object, keys: Mapping[str, str] | None = None
    ) -> None:
        """Keep an event's values unless the sample of its type is full; ``keys`` are its business keys by consumer."""
        if self._count[event_type] < SAMPLE and event_id not in self._carried:
            self._count[event_type] += 1
            self._carried[event_id] = event_type, (by_value := pointers(record, value))
            distinct = self._distinct.setdefault(event_type, {})
            for text, places in by_value.items():
                for where in places:
                    distinct.setdefault(where, set()).add(text)
            for joined in (keys or {}).items():
                self._carried.setdefault(joined, self._carried[event_id])

    def template(self, of: Of, name: str) -> str | None:
        """Replace each value of the event in ``name`` by its ``{/pointer}``; None if the event is not in the sample.

        If ``/data/order`` is 17, ``order-17`` becomes ``order-{/data/order}``.
        """
        if of not in self._carried:
            return None
        event_type, places = self._carried[of]
        distinct, used = self._distinct[event_type], self._used[event_type]

        def likeliest(text: str) -> str:
            """Of several locations, the one that other names come from, or else that differs most between events."""
            return max(places[text], key=lambda where: (used[where], len(distinct[where]), where))

        def replaced(text: str) -> str:
            if len(places[text]) == 1:
                used[places[text][0]] += 1
            return f"{{{likeliest(text)}}}"

        if (whole := identity(name)) in places:
            return replaced(whole)
        pattern = "|".join(_word(text) for text in sorted(places, key=len, reverse=True))
        return re.sub(pattern, lambda match: replaced(match[0]), name) if places else name


def _word(text: str) -> str:
    """Return a pattern for a value that no further letter, or no further digit, lengthens: 17 is in order17, not in 2017."""
    before, after = (r"\d" if end.isdigit() else r"[^\W\d_]" if end.isalpha() else "" for end in (text[0], text[-1]))
    return (f"(?<!{before})" if before else "") + re.escape(text) + (f"(?!{after})" if after else "")


def pointers(record: Record, value: object) -> dict[str, list[str]]:
    """Return value, as text -> its locations in the record: JSON pointers, ``key`` and ``header NAME``."""
    by_value: dict[str, list[str]] = {}
    for where, text in _values(record, value):
        if text and (len(by_value) < _MOST or identity(text) in by_value):
            by_value.setdefault(identity(text), []).append(where)
    return by_value


def _values(record: Record, value: object) -> Iterator[tuple[str, str]]:
    if record.key is not None:
        yield "key", record.key.decode("utf-8", "replace")
    for name, header in record.headers:
        if header is not None:
            yield f"header {name}", header.decode("utf-8", "replace")
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        where, node = waiting.pop()
        if isinstance(node, Mapping):
            waiting += [(f"{where}/{name}", inner) for name, inner in node.items()]
        elif isinstance(node, list):
            waiting += [(f"{where}/{n}", inner) for n, inner in enumerate(node[:_MOST])]
        elif isinstance(node, str | int | float) and not isinstance(node, bool):
            yield where, str(node)
