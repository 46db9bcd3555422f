"""The few things that a consumer needs of aiokafka's client and for which it has no public way.

A header's name may be no UTF-8, as any client may write it: aiokafka decodes the names while it unpacks a batch, and an
error there loses the batch, so a consumer would fetch it again for ever. Whoever meets that error reads leniently from
then on: such a name gets surrogates, and the record is malformed (see ``message``).
"""

# ruff: noqa: SLF001

import asyncio
import contextlib
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.memory_records import _MemoryRecordsPy


class _Bytes(bytearray):
    """Bytes whose slices decode whatever they hold."""

    def __getitem__(self, at: Any) -> Any:  # noqa: ANN401 - an index or a slice
        found = super().__getitem__(at)
        return _Bytes(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> str:
        return super().decode(encoding, errors)


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka ships no types
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Bytes(self._buffer)


class LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]  # aiokafka ships no types
    """A fetch's records; what is read of them is the same but for the names of headers."""

    def next_batch(self) -> Any:  # noqa: ANN401 - one of two kinds of batches
        """The next batch, of any format."""
        raw = self._next_slice
        batch = super().next_batch()
        return batch if isinstance(batch, LegacyRecordBatch) else _Batch(raw)


def read_leniently() -> None:
    """Have the clients of this process read so from now on: ten thousands of records a second in place of millions."""
    fetcher.MemoryRecords = LenientRecords


def has_stopped_fetching(client: AIOKafkaConsumer) -> bool:
    """Whether the client's fetching broke; reading from it would give nothing, for ever."""
    return bool(client._fetcher.error_future.done())


async def close_abruptly(client: AIOKafkaConsumer, seconds: float) -> None:
    """End what a ``stop`` that was cut off did not come to: tasks and connections that would outlive the client."""
    coordinator, fetcher = client._coordinator, client._fetcher
    ends = [client._client.close]
    if fetcher is not None:
        ends = [coordinator._stop_heartbeat_task, coordinator._stop_commit_offsets_refresh_task, fetcher.close, *ends]
    for end in ends:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                # Gathered: some of them end with the cancellation of their own task, which is none of ours.
                await asyncio.gather(end(), return_exceptions=True)
