"""The values that events carry, to tell whether an effect's name could have been computed from its event."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
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
        self._pointers: dict[Of, dict[str, str]] = {}
        self._count: Counter[str] = Counter()

    def note(
        self, event_id: str, event_type: str, record: Record, value: object, keys: Mapping[str, str] | None = None
    ) -> None:
        """Keep an event's values unless the sample of its type is full; ``keys`` are its business keys by consumer."""
        if self._count[event_type] < SAMPLE and event_id not in self._pointers:
            self._count[event_type] += 1
            self._pointers[event_id] = pointers(record, value)
            for joined in (keys or {}).items():
                self._pointers.setdefault(joined, self._pointers[event_id])

    def template(self, of: Of, name: str) -> str | None:
        """Replace each value of the event in ``name`` by its ``{/pointer}``; None if the event is not in the sample.

        If ``/data/order`` is 17, ``order-17`` becomes ``order-{/data/order}``.
        """
        if (by_value := self._pointers.get(of)) is None:
            return None
        if (whole := by_value.get(identity(name))) is not None:
            return f"{{{whole}}}"
        longest_first = sorted(by_value, key=len, reverse=True)
        pattern = rf"(?<![^\W_])(?:{'|'.join(map(re.escape, longest_first))})(?![^\W_])"
        return re.sub(pattern, lambda match: f"{{{by_value[match[0]]}}}", name) if by_value else name


def pointers(record: Record, value: object) -> dict[str, str]:
    """Return value, as text -> its location in the record: a JSON pointer, ``key`` or ``header NAME``."""
    by_value: dict[str, str] = {}
    for where, text in _values(record, value):
        if text and len(by_value) < _MOST:
            by_value.setdefault(identity(text), where)
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
