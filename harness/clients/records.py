"""Reads records whose header names are not UTF-8: aiokafka's decoder rejects a whole batch for one such name.

The consumer would then fetch that batch again for ever and never see what follows it. Here aiokafka decodes a batch as
far as it can, and a slower decoder takes only the rest.
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
    """Bytes whose slices always decode: invalid UTF-8 becomes U+FFFD."""

    def __getitem__(self, at: Any) -> Any:  # noqa: ANN401 - an index or a slice
        item = super().__getitem__(at)
        return _AnyText(item) if isinstance(at, slice) else item

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


class _Lenient(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka ships no types
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _AnyText(self._buffer)


class _Batch:
    """Wraps aiokafka's batch; iteration continues where that one fails to decode."""

    def __init__(self, batch: Any, raw: memoryview) -> None:  # noqa: ANN401 - aiokafka's, in C or in Python
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
        except (UnicodeDecodeError, CorruptRecordException):  # the second from the batch in Python
            yield from islice(_Lenient(self._raw), given, None)


class _Records(_MemoryRecordsPy):  # type: ignore[misc]  # aiokafka ships no types
    """The batches of one fetch of one partition."""

    def next_batch(self) -> Any:  # noqa: ANN401 - one of two kinds of batches, or None
        raw = self._next_slice
        batch = super().next_batch()
        # Only this format has headers.
        return _Batch(batch, raw) if isinstance(batch, DefaultRecordBatch) else batch


def read_any_header(consumer: AIOKafkaConsumer) -> None:
    """Have one consumer accept any header name; it must be started and not yet assigned. Others are not affected."""
    fetcher = consumer._fetcher  # noqa: SLF001 - there is no public hook for a decoder
    own = type(fetcher)._proc_fetch_request  # noqa: SLF001 - the same
    function = FunctionType(own.__code__, own.__globals__ | {"MemoryRecords": _Records}, closure=own.__closure__)
    fetcher._proc_fetch_request = MethodType(function, fetcher)  # noqa: SLF001 - the same
