"""Records whose headers have any name: aiokafka's decoder takes UTF-8 alone, and a batch with another name is none to it.

The consumer would fetch that batch again for ever, and what lies behind it would never be seen. A batch is decoded as
aiokafka does for as long as it can; only what is left of one that it cannot decode goes the slow way.
"""

from __future__ import annotations

from itertools import islice
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiokafka import AIOKafkaConsumer


class _AnyText(bytearray):
    """Bytes whose slices decode whatever they hold; what is no text becomes U+FFFD."""

    def __getitem__(self, at: Any) -> Any:  # noqa: ANN401 - an index or a slice
        found = super().__getitem__(at)
        return _AnyText(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


class _Lenient(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka ships no types
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _AnyText(self._buffer)


class _Batch:
    """A batch of aiokafka's own; its iteration goes on where that one cannot decode."""

    def __init__(self, batch: Any, raw: memoryview) -> None:  # noqa: ANN401 - of C or of Python
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a batch has
        return getattr(self._batch, name)

    def __next__(self) -> Any:  # noqa: ANN401 - aiokafka's record
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        given = 0
        try:
            for record in self._batch:
                given += 1
                yield record
        except (UnicodeDecodeError, CorruptRecordException):  # the second is how the one of Python says it
            yield from islice(_Lenient(self._raw), given, None)


class _Records(_MemoryRecordsPy):  # type: ignore[misc]  # aiokafka ships no types
    """The batches of one fetch of one partition."""

    def next_batch(self) -> Any:  # noqa: ANN401 - one of two kinds of batches, or None
        raw = self._next_slice
        batch = super().next_batch()
        # Older formats have no headers.
        return _Batch(batch, raw) if isinstance(batch, DefaultRecordBatch) else batch


def read_any_header(consumer: AIOKafkaConsumer) -> None:
    """Have this one consumer, started and not yet assigned anything, read so; no other one in the process is touched."""
    fetcher = consumer._fetcher  # noqa: SLF001 - it has no public place for a decoder
    own = type(fetcher)._proc_fetch_request  # noqa: SLF001 - the same
    function = FunctionType(own.__code__, own.__globals__ | {"MemoryRecords": _Records}, closure=own.__closure__)
    fetcher._proc_fetch_request = MethodType(function, fetcher)  # noqa: SLF001 - the same
