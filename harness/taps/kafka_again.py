"""Finds the records that the second of two equal Produce requests appended."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from kio.serial import entity_reader

from harness.errors import FaultError
from harness.taps.kafka_schema import Cursor, flexible_header, schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.taps.kafka_asked import Asked
    from harness.taps.message import Place
    from harness.taps.names import Names

_HEADER: Final = 14
"""Bytes of a request before its tagged fields and its body: length, API, version, number, and the client's length."""

_LENGTH_AT, _FIRST = 8, 12
"""Offsets in a record batch: of its length, and of the bytes that this counts."""

_LAST_AT: Final = 23
"""Offset in a record batch of its last record's offset, which counts from its first record."""


def appended(sent: bytes, asked: Asked, first: Sequence[Place], second: Sequence[Place], names: Names) -> list[Place]:
    """Return the place of each record that the second of two equal requests appended, by the offsets in both replies.

    A broker that recognizes the first one's records by sequence number repeats their offset, and appends nothing.
    """
    had, counts = set(first), records(sent, asked, names)
    return [
        (topic, partition, base + number)
        for topic, partition, base in second
        if base >= 0 and (topic, partition, base) not in had
        for number in range(counts[topic, partition])
    ]


def records(sent: bytes, asked: Asked, names: Names) -> Counter[tuple[str, int]]:
    """Count the records of a Produce by topic and partition."""
    found: Counter[tuple[str, int]] = Counter()
    for topic, partition, data in produced(sent, asked, names):
        found[topic, partition] += sum(_batches(data))
    return found


def produced(sent: bytes, asked: Asked, names: Names) -> Iterator[tuple[str, int, bytes]]:
    """Yield the topic, the partition and the record batches of each part of a Produce that a tap has followed to its end."""
    kind: Any = schema(asked.key, asked.version, "request")
    client = int.from_bytes(sent[_HEADER - 2 : _HEADER], "big", signed=True)
    cursor = Cursor(sent[_HEADER + max(client, 0) :])
    if flexible_header(kind):
        cursor.tags()
    # The lengths in it are true, so kio may read it.
    request: Any = entity_reader(kind)(cursor.rest(), 0)[0]
    for topic in request.topic_data:
        name = names.topic(getattr(topic, "name", None) or getattr(topic, "topic_id", None))
        for part in topic.partition_data:
            yield name, part.index, bytes(part.records or b"")


def _batches(data: bytes) -> Iterator[int]:
    """Yield how many offsets each batch of records takes."""
    while data:
        size = _FIRST + int.from_bytes(data[_LENGTH_AT:_FIRST], "big")
        if not _LAST_AT + 4 <= size <= len(data):
            raise FaultError("Produce: its records are in no batch that a tap understands")
        yield int.from_bytes(data[_LAST_AT : _LAST_AT + 4], "big") + 1
        data = data[size:]
