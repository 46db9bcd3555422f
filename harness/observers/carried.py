"""The values that events carry, to tell whether an effect's name could have been computed from its event."""

from __future__ import annotations

import re
from collections import Counter
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
        distinct = self._distinct[event_type]
        # Of several locations, the one that differs most between events: equal by chance, an amount does not name an order.
        by_value = {text: max(where, key=lambda at: (len(distinct[at]), at)) for text, where in places.items()}
        if (whole := by_value.get(identity(name))) is not None:
            return f"{{{whole}}}"
        pattern = "|".join(_word(text) for text in sorted(by_value, key=len, reverse=True))
        return re.sub(pattern, lambda match: f"{{{by_value[match[0]]}}}", name) if by_value else name


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
