"""Records that are decoded before they are read as events."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.errors import StackError
from harness.observers.decoded import Decoded
from harness.observers.spoiled import Spoiled
from harness.observers.topics import seen
from harness.stack import Record
from tests.unit.observers.test_topics import SYSTEM


class Passes:
    """A reader whose passes are written down."""

    def __init__(self, *passes: Sequence[bytes | None]) -> None:
        self._passes = list(passes)

    async def pass_to_end(self) -> Sequence[Record]:
        return [Record("orders", 0, n, None, value) for n, value in enumerate(self._passes.pop(0))]


class Reverses:
    """A decoder that reverses what ends with ``{``, and fails while it is ``broken``."""

    def __init__(self) -> None:
        self.broken = False
        self.asked: list[bytes] = []

    async def decode(self, values: Sequence[bytes]) -> list[bytes | None]:
        if self.broken:
            raise StackError("decode: it ended")
        self.asked += values
        return [value[::-1] if value.endswith(b"{") else None for value in values]

    def said(self) -> str:
        return "no schema 7"


async def test_values_are_decoded_each_once_and_a_tombstone_has_none() -> None:
    decodes, spoiled = Reverses(), Spoiled()
    reader = Decoded(Passes([b"}1{", None, b"}1{", b"}2{"]), decodes, spoiled)
    assert [record.value for record in await reader.pass_to_end()] == [b"{1}", None, b"{1}", b"{2}"]
    assert decodes.asked == [b"}1{", b"}2{"]


async def read(value: bytes, spoiled: Spoiled) -> dict[str, object]:
    (record,) = await Decoded(Passes([value]), Reverses(), spoiled).pass_to_end()
    return dict(seen(record, SYSTEM, spoiled))


async def test_of_what_cannot_be_decoded_nobody_knows_what_it_is_though_it_may_be_json() -> None:
    fields = await read(b'{"event_id": "e1", "event_type": "placed"}', Spoiled())
    assert "malformed" not in fields
    assert fields["error"] == "UnreadableError: the decoder could not decode it; it last printed: no schema 7"


async def test_what_a_fault_spoiled_is_malformed_unless_the_decoder_reads_it() -> None:
    spoiled = Spoiled()
    for value in (b"stray", b"}stray{"):
        spoiled.note(value, "spoiled by kafka.malformed: bytes")
    assert (await read(b"stray", spoiled))["malformed"] == "spoiled by kafka.malformed: bytes"
    fields = await read(b"}stray{", spoiled)
    assert "malformed" not in fields
    assert fields["error"] == "UnreadableError: a fault published it as malformed, but the decoder accepts it"


async def test_a_pass_that_fails_loses_no_record() -> None:
    decodes = Reverses()
    reader = Decoded(Passes([b"}1{"], [b"}2{"]), decodes, Spoiled())
    decodes.broken = True
    with pytest.raises(StackError):
        await reader.pass_to_end()
    decodes.broken = False
    assert [record.value for record in await reader.pass_to_end()] == [b"{1}", b"{2}"]
