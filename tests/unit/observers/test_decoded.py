"""Records that are decoded before they are read as events."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.errors import StackError
from harness.observers.decoded import UNDECODED, Decoded
from harness.observers.spoiled import Spoiled
from harness.stack import Record


class Passes:
    """A reader whose passes are written down."""

    def __init__(self, *passes: Sequence[bytes | None]) -> None:
        self._passes = list(passes)

    async def pass_to_end(self) -> Sequence[Record]:
        return [Record("orders", 0, n, None, value) for n, value in enumerate(self._passes.pop(0))]


class Reverses:
    """A decoder that reverses what begins with ``{``, and fails while it is ``broken``."""

    def __init__(self) -> None:
        self.broken = False
        self.asked: list[bytes] = []

    async def decode(self, values: Sequence[bytes]) -> list[bytes | None]:
        if self.broken:
            raise StackError("decode: it ended")
        self.asked += values
        return [value[::-1] if value.endswith(b"{") else None for value in values]


async def test_values_are_decoded_each_once_and_a_tombstone_has_none() -> None:
    decodes, spoiled = Reverses(), Spoiled()
    reader = Decoded(Passes([b"}1{", None, b"}1{", b"}2{"]), decodes, spoiled)
    assert [record.value for record in await reader.pass_to_end()] == [b"{1}", None, b"{1}", b"{2}"]
    assert decodes.asked == [b"}1{", b"}2{"]


async def test_what_cannot_be_decoded_is_malformed_though_it_may_be_json() -> None:
    spoiled = Spoiled()
    reader = Decoded(Passes([b'{"id": "e1"}']), Reverses(), spoiled)
    (record,) = await reader.pass_to_end()
    assert (record.value, spoiled.reason(record.value)) == (b'{"id": "e1"}', UNDECODED)


async def test_what_a_fault_spoiled_is_not_decoded() -> None:
    decodes, spoiled = Reverses(), Spoiled()
    spoiled.note(b"}spoiled{", "spoiled by kafka.malformed: bytes")
    (record,) = await Decoded(Passes([b"}spoiled{"]), decodes, spoiled).pass_to_end()
    assert (record.value, decodes.asked) == (b"}spoiled{", [])


async def test_a_pass_that_fails_loses_no_record() -> None:
    decodes = Reverses()
    reader = Decoded(Passes([b"}1{"], [b"}2{"]), decodes, Spoiled())
    decodes.broken = True
    with pytest.raises(StackError):
        await reader.pass_to_end()
    decodes.broken = False
    assert [record.value for record in await reader.pass_to_end()] == [b"{1}", b"{2}"]
