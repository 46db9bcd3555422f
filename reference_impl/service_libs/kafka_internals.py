"""Uses of aiokafka's internals, where its public API offers no way.

A header's name may be invalid UTF-8, since any client may write it. aiokafka decodes the names while it unpacks a
batch, and an error there fails the batch, so a consumer would fetch it again forever. A consumer that meets this error
reads leniently from then on: such a name gets surrogates, and the record is malformed (see ``message``).
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
    """Bytes whose slices decode without errors, whatever they hold."""

    def __getitem__(self, at: Any) -> Any:  # noqa: ANN401 - an index or a slice
        item = super().__getitem__(at)
        return _Bytes(item) if isinstance(at, slice) else item

    def decode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> str:
        return super().decode(encoding, errors)


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka ships no types
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Bytes(self._buffer)


class LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]  # aiokafka ships no types
    """A fetch's records; only the decoding of header names differs from aiokafka's."""

    def next_batch(self) -> Any:  # noqa: ANN401 - one of two kinds of batches
        """Return the next batch, of any format."""
        raw = self._next_slice
        batch = super().next_batch()
        return batch if isinstance(batch, LegacyRecordBatch) else _Batch(raw)


def read_leniently() -> None:
    """Read leniently in this process from now on; throughput drops from millions to ten thousands a second."""
    fetcher.MemoryRecords = LenientRecords


def has_stopped_fetching(client: AIOKafkaConsumer) -> bool:
    """Whether the client's fetcher has failed; reading would return nothing, forever."""
    return bool(client._fetcher.error_future.done())


async def close_abruptly(client: AIOKafkaConsumer, seconds: float) -> None:
    """Finish an interrupted ``stop``: end the tasks and connections that would outlive the client."""
    coordinator, fetcher = client._coordinator, client._fetcher
    closers = [client._client.close]
    if fetcher is not None:
        closers = [
            coordinator._stop_heartbeat_task,
            coordinator._stop_commit_offsets_refresh_task,
            fetcher.close,
            *closers,
        ]
    for close in closers:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                # Gathered: some end with the cancellation of their own task, which is not ours.
                await asyncio.gather(close(), return_exceptions=True)
