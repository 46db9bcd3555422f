"""What events carry, so that an effect's name can be told from one that could be computed from its event."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from harness.observers.identity import identity
from harness.stack import Record

SAMPLE: Final = 300
"""Events of each type whose contents are kept: how a service names its effects shows in a few."""

_MOST: Final = 200
"""Values kept of one event."""


class Carried:
    """The values of a sample of events, by event id."""

    def __init__(self) -> None:
        self._pointers: dict[str, dict[str, str]] = {}
        self._count: Counter[str] = Counter()

    def note(self, event_id: str, event_type: str, record: Record, value: object) -> None:
        """Keep what an event carries, if there is room for one of its type."""
        if self._count[event_type] < SAMPLE and event_id not in self._pointers:
            self._count[event_type] += 1
            self._pointers[event_id] = pointers(record, value)

    def template(self, event_id: str, name: str) -> str | None:
        """``name`` with each value that its event carries as ``{/pointer}``; None if that event is not in the sample.

        An event carries ``/data/order`` 17: ``order-17`` becomes ``order-{/data/order}``.
        """
        if (known := self._pointers.get(event_id)) is None:
            return None
        if (whole := known.get(identity(name))) is not None:
            return f"{{{whole}}}"
        longest_first = sorted(known, key=len, reverse=True)
        pattern = rf"(?<![^\W_])(?:{'|'.join(map(re.escape, longest_first))})(?![^\W_])"
        return re.sub(pattern, lambda found: f"{{{known[found[0]]}}}", name) if known else name


def pointers(record: Record, value: object) -> dict[str, str]:
    """Text of each value in a record -> where it stands: a JSON pointer, ``key`` or ``header NAME``."""
    found: dict[str, str] = {}
    for where, text in _values(record, value):
        if text and len(found) < _MOST:
            found.setdefault(identity(text), where)
    return found


def _values(record: Record, value: object) -> Iterator[tuple[str, str]]:
    if record.key is not None:
        yield "key", record.key.decode("utf-8", "replace")
    for name, header in record.headers:
        if header is not None:
            yield f"header {name}", header.decode("utf-8", "replace")
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        where, one = waiting.pop()
        if isinstance(one, Mapping):
            waiting += [(f"{where}/{name}", inner) for name, inner in one.items()]
        elif isinstance(one, list):
            waiting += [(f"{where}/{n}", inner) for n, inner in enumerate(one[:_MOST])]
        elif isinstance(one, str | int | float) and not isinstance(one, bool):
            yield where, str(one)
