"""Changes the value of one record in a Produce request, and its batch's checksum with it, as a producer's bug would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crc32c import crc32c
from kio.serial.readers import read_signed_varint, read_signed_varlong

from harness.errors import FaultError
from harness.stack import Record
from harness.taps.kafka_again import produced

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from harness.taps.kafka_asked import Asked
    from harness.taps.names import Names

_MAGIC_AT, _CRC_AT, _ATTRIBUTES_AT, _RECORDS_AT = 16, 17, 21, 61
"""Offsets in a record batch of the second version: https://kafka.apache.org/documentation/#recordbatch."""

_COMPRESSED, _TRANSACTIONAL = 0x07, 0x10
"""Bits of a batch's attributes."""


def corrupted(
    sent: bytes, asked: Asked, names: Names, topics: Collection[str], alter: Callable[[bytes], bytes]
) -> tuple[bytes, Record]:
    """Return a Produce with one value replaced by another of the same length, and the record as it was.

    The record is the first on one of ``topics`` that has a value; its offset counts from its batch's first. Raises
    FaultError if there is none that a tap can change.
    """
    end = 0
    for name, partition, batch in produced(sent, asked, names):
        # Parts stand in this order, and two of them may be equal.
        begin = sent.index(batch, end)
        end = begin + len(batch)
        if name not in topics or len(batch) < _RECORDS_AT:
            continue
        attributes = int.from_bytes(batch[_ATTRIBUTES_AT : _ATTRIBUTES_AT + 2], "big")
        if batch[_MAGIC_AT] != 2:  # noqa: PLR2004 - the version of the format
            raise FaultError(
                "Produce: its records are in a format from before Kafka 0.11, which a tap does not change"
            )
        if attributes & _COMPRESSED:
            raise FaultError("Produce: its records are compressed; have the producer send them as they are")
        if attributes & _TRANSACTIONAL:
            raise FaultError("Produce: its records are in a transaction, which may still be aborted")
        for at, record in _values(batch, name, partition):
            value = alter(record.value or b"")
            changed = bytearray(batch)
            changed[at : at + len(value)] = value
            changed[_CRC_AT:_ATTRIBUTES_AT] = crc32c(changed[_ATTRIBUTES_AT:]).to_bytes(4, "big")
            return sent[:begin] + bytes(changed) + sent[end:], record
    raise FaultError(
        "Produce: it has no record with a value on a topic of events; name one in the `when`, as in `Produce orders`"
    )


def _values(batch: bytes, topic: str, partition: int) -> Iterator[tuple[int, Record]]:
    """Yield each record that has a value, and where in the batch the value begins."""
    at = _RECORDS_AT
    while at < len(batch):
        length, size = read_signed_varint(batch, at)
        end, at = at + size + length, at + size + 1
        at += read_signed_varlong(batch, at)[1]
        delta, size = read_signed_varint(batch, at)
        key, at = _bytes(batch, at + size)
        value, after = _bytes(batch, at)
        if value:
            yield after - len(value), Record(topic, partition, delta, key, value, tuple(_headers(batch, after)))
        at = end


def _headers(batch: bytes, at: int) -> Iterator[tuple[str, bytes]]:
    count, size = read_signed_varint(batch, at)
    at += size
    for _ in range(count):
        name, at = _bytes(batch, at)
        value, at = _bytes(batch, at)
        yield (name or b"").decode("utf-8", "surrogateescape"), value or b""


def _bytes(batch: Any, at: int) -> tuple[bytes | None, int]:  # noqa: ANN401 - what kio reads from
    """Return the bytes at an offset, which their length precedes, and where they end; None for no bytes."""
    length, size = read_signed_varint(batch, at)
    begin = at + size
    return (None, begin) if length < 0 else (batch[begin : begin + length], begin + length)
