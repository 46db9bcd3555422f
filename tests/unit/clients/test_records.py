"""Batches with a header's name that is no UTF-8 are read; only these go the slow way."""

from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchBuilderPy, _DefaultRecordBatchPy

from harness.clients import records


class Name(str):
    """A name that is written as Latin-1."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"caf\xe9"


def batch(base: int, *headers: tuple[str, bytes | None], codec: int = 0) -> bytes:
    """Three records, the headers at the one in the middle."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, -1, 1 << 16)
    for offset in range(3):
        builder.append(offset, 1, b"key", b"%d" % (base + offset), list(headers) if offset == 1 else [])
    made = builder.build()
    made[:8] = base.to_bytes(8, "big")
    return bytes(made)


def read(data: bytes) -> list[Any]:
    fetched, found = records._Records(data), []
    while fetched.has_next():
        one = fetched.next_batch()
        assert one.validate_crc()
        found += [(record.offset, record.key, record.value, list(record.headers)) for record in one]
    return found


@pytest.fixture(params=[DefaultRecordBatch, _DefaultRecordBatchPy], ids=["fast", "python"], autouse=True)
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of aiokafka's decoders: where there is no compiler, it has the one alone."""
    monkeypatch.setattr("aiokafka.record.memory_records.DefaultRecordBatch", request.param)
    monkeypatch.setattr(records, "DefaultRecordBatch", request.param)


@pytest.mark.parametrize("codec", range(5), ids=["none", "gzip", "snappy", "lz4", "zstd"])
def test_each_record_is_read_once(codec: int) -> None:
    data = batch(0, ("fine", b"1")) + batch(3, ("a", b"1"), (Name("?"), None), codec=codec) + batch(6)
    found = read(data)
    assert [(offset, value) for offset, _, value, _ in found] == [(n, b"%d" % n) for n in range(9)]
    assert {n: headers for n, _, _, headers in found if headers} == {
        1: [("fine", b"1")],
        4: [("a", b"1"), ("caf�", None)],
    }


def test_a_batch_of_text_never_goes_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_Lenient", lambda _: pytest.fail("slow"))
    assert len(read(batch(0, ("é", b"1")))) == 3


def test_what_is_broken_stays_broken() -> None:
    data = bytearray(batch(0))
    data[-1] += 1  # one header more than there are bytes
    fetched = records._Records(bytes(data))
    with pytest.raises(CorruptRecordException):
        list(fetched.next_batch())
