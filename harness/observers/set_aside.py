"""What a dead letter is about, in the words of the system: they are what it is asked with to take it back."""

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
    """One dead letter. ``fields`` are the history's, which writes names and ids in one way."""

    fields: Fields
    about: Mapping[str, str]
    """``consumer``, ``event_id``, ``topic``, ``partition`` and ``offset`` as the letter says them, as far as it does."""

    @property
    def key(self) -> tuple[object, ...]:
        """The same for every letter of one consumer about one record."""
        return tuple(self.fields.get(name) for name in _FIELDS)


def set_aside(record: Record, where: Where, fields: Fields) -> SetAside:
    """The letter in ``record``, whose ``fields`` are those that the history gets."""
    try:
        value: object = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        value = None
    source = pick(value, where.source)
    said = {
        "consumer": pick(value, where.consumer),
        "event_id": pick(value, where.id),
        **{name: pick(source, f"/{name}") for name in ("topic", "partition", "offset")},
    }
    about = {name: str(one) for name, one in said.items() if isinstance(one, str | int)}
    return SetAside({name: fields.get(name) for name in _FIELDS}, about)
