"""The record that a dead letter is about, as the system itself names it: replaying it takes exactly those names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from harness.pointer import pick
from harness.stack import Fields, Record
from harness.system import DeadLetters as Where

_FIELDS = ("consumer", "event_id", "source_topic", "source_partition", "source_offset")


@dataclass(frozen=True, slots=True)
class SetAside:
    """One dead letter; ``fields`` are the history's, with normalized names and ids."""

    fields: Fields
    about: Mapping[str, str]
    """``consumer``, ``event_id``, ``topic``, ``partition`` and ``offset`` verbatim; missing ones are left out."""

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for all letters of one consumer about one record."""
        return tuple(self.fields.get(name) for name in _FIELDS)


def set_aside(record: Record, where: Where, fields: Fields) -> SetAside:
    """Build a SetAside from a dead letter's record and the fields it has in the history."""
    try:
        value: object = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        value = None
    source = pick(value, where.source)
    verbatim = {
        "consumer": pick(value, where.consumer),
        "event_id": pick(value, where.id),
        **{name: pick(source, f"/{name}") for name in ("topic", "partition", "offset")},
    }
    about = {name: str(part) for name, part in verbatim.items() if isinstance(part, str | int)}
    return SetAside({name: fields.get(name) for name in _FIELDS}, about)
