"""The record that a dead letter is about, as the system itself names it; a replay needs exactly those names."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from harness.exact_json import loads_any
from harness.model import Where as Beside
from harness.observers.located import business_key
from harness.observers.unreadable import Undecoded, UnreadableError
from harness.pointer import pick
from harness.stack import Fields, Record, RunNames
from harness.system_events import DeadLetters as Where
from harness.system_events import SourceHeaders

_FIELDS = ("consumer", "event_id", "source_topic", "source_partition", "source_offset")

UNSAID = "unsaid"
"""The kind of a letter in a system whose letters give no reason."""


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


def set_aside(record: Record, where: Where, fields: Fields, names: RunNames, events: Collection[str]) -> SetAside:
    """Build a SetAside from a dead letter's record and the fields it has in the history."""
    said = verbatim(record, where, names, events)
    about = {name: str(part) for name, part in said.items() if name != "kind" and isinstance(part, str | int)}
    return SetAside({name: fields.get(name) for name in _FIELDS}, about)


def verbatim(record: Record, where: Where, names: RunNames, events: Collection[str]) -> dict[str, object]:
    """Return ``consumer``, ``event_id``, ``kind``, ``topic``, ``partition`` and ``offset`` as a dead letter gives them.

    ``events`` are the topics of events. Raises ValueError if headers should name the source but do not, and
    UnreadableError, a ValueError, if a field is in the letter's value and that cannot be decoded or parsed.
    """
    value, why = _parsed(record.value)
    # If headers hold all of this, the value is the original record's and may be anything.
    if why and any(map(_in_value, (where.source, where.consumer, where.kind))):
        raise UnreadableError(why)
    said = {
        "consumer": where.by or _at(where.consumer, record, value),
        "event_id": business_key(where.id, record, value)
        if isinstance(where.id, list)
        else _at(where.id, record, value),
        "kind": _at(where.kind, record, value) if where.kind is not None else UNSAID,
        **_source(record, where.source, value, names, events),
    }
    if why and _in_value(where.id) and names.plain(str(said["topic"])) not in events:
        raise UnreadableError(f"the place that it names is on no topic of events, and its id cannot be read: {why}")
    try:
        json.dumps(said, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise UnreadableError(f"what it names is no text or number ({error})") from None
    return said


def _parsed(value: bytes | None) -> tuple[object, str]:
    """Return a letter's parsed value, or None and why it cannot be parsed.

    A letter is what the service itself says, so whatever some parser reads of it counts.
    """
    if isinstance(value, Undecoded):
        return None, value.why
    try:
        return loads_any(value or b""), ""
    except ValueError as error:
        return None, f"not JSON ({error})"


def is_tombstone(record: Record, where: Where) -> bool:
    """Whether a record without a value deletes a dead letter; one that headers describe is a letter about a tombstone."""
    return record.value is None and any(map(_in_value, (where.source, where.consumer, where.kind)))


def _in_value(where: object) -> bool:
    return isinstance(where, list) or (isinstance(where, str) and where.startswith("/"))


def _at(where: str | Beside, record: Record, value: object) -> object:
    if isinstance(where, str):
        return pick(value, where)
    raw = record.key if where.key else dict(record.headers).get(where.header or "")
    return raw.decode() if raw is not None else None


def _source(
    record: Record, where: str | SourceHeaders, value: object, names: RunNames, events: Collection[str]
) -> dict[str, object]:
    if isinstance(where, str):
        source = pick(value, where)
        return {name: pick(source, f"/{name}") for name in ("topic", "partition", "offset")}
    topics, partitions, offsets = (
        [content or b"" for name, content in record.headers if name == header]
        for header in (where.topic, where.partition, where.offset)
    )
    if not topics or not len(topics) == len(partitions) == len(offsets):
        raise ValueError(
            f"it has {len(topics)} headers {where.topic}, {len(partitions)} {where.partition} and {len(offsets)} "
            f"{where.offset}; each must be there once for every place that it names"
        )
    places = [
        {"topic": topic.decode("utf-8", "replace"), "partition": _number(partition), "offset": _number(offset)}
        for topic, partition, offset in zip(topics, partitions, offsets, strict=True)
    ]
    # Retry topics add their own place, and a republished letter keeps its old one: the last on an event topic counts.
    return next((place for place in reversed(places) if names.plain(str(place["topic"])) in events), places[-1])


def _number(raw: bytes) -> int:
    """Parse decimal text, or a big-endian integer of 4 or 8 bytes, which for a real place never look like digits."""
    if raw.isdigit():
        return int(raw)
    if len(raw) in {4, 8}:
        return int.from_bytes(raw, signed=True)
    raise ValueError(f"{raw!r} is no number, neither as text nor as an int or long of Java")
