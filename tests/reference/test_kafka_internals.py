"""What is done to aiokafka's client, against the client's own classes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from reference_impl.service_libs.kafka_internals import LenientRecords, close_abruptly, read_leniently

NONE, GZIP = 0, 1


def batch(*headers, compression=NONE):
    """A batch as a broker gives it; ``@@@`` in a header's name becomes bytes that are no UTF-8."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=NONE,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=0,
        batch_size=1 << 20,
    )
    for offset, some in enumerate(headers):
        assert builder.append(offset, timestamp=1, key=b"k", value=b"v%d" % offset, headers=some)
    built = builder.build()
    return bytes(built).replace(b"@@@", b"\xff\xfe@")


def unpacked(kind, data):
    records = PartitionRecords(TopicPartition("essays", 0), kind(data), [], 0, None, None, False, 1)
    return list(records)


def test_a_header_whose_name_is_no_utf8_breaks_the_client_as_it_is():
    with pytest.raises(UnicodeDecodeError):
        unpacked(MemoryRecords, batch([("ok", b"1")], [("@@@", b"2")]))


def test_it_is_read_and_so_are_its_neighbours():
    found = unpacked(LenientRecords, batch([("ok", b"1")], [("@@@", b"2")], [("é", None)]))
    assert [(each.offset, each.key, each.value) for each in found] == [(n, b"k", b"v%d" % n) for n in range(3)]
    assert [each.headers for each in found] == [(("ok", b"1"),), (("\udcff\udcfe@", b"2"),), (("é", None),)]


def test_what_the_client_can_read_is_read_alike():
    data = batch([], [("a", b"1"), ("b", b"")]) * 2
    legacy = LegacyRecordBatchBuilder(1, NONE, 1000)
    legacy.append(0, timestamp=1, key=b"k", value=b"v")
    for each in (data, bytes(legacy.build())):
        assert unpacked(LenientRecords, each) == unpacked(MemoryRecords, each) != []


def test_every_client_reads_so_once_one_has_met_it(monkeypatch):
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    read_leniently()
    used = fetcher.Fetcher._proc_fetch_request.__globals__["MemoryRecords"]
    assert [each.offset for each in unpacked(used, batch([("@@@", b"1")]))] == [0]


async def test_what_stop_did_not_come_to_is_ended_though_one_part_hangs_and_one_was_cancelled():
    ended = []

    def end(name, seconds=0.0, error=None):
        async def close():
            await asyncio.sleep(seconds)
            if error is not None:
                raise error
            ended.append(name)

        return close

    client = SimpleNamespace(
        _coordinator=SimpleNamespace(
            _stop_heartbeat_task=end("heartbeat", seconds=1000),
            _stop_commit_offsets_refresh_task=end("refresh", error=asyncio.CancelledError()),
        ),
        _fetcher=SimpleNamespace(close=end("fetcher")),
        _client=SimpleNamespace(close=end("connections")),
    )
    await close_abruptly(client, 0.01)
    assert ended == ["fetcher", "connections"]
