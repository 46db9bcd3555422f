"""Records that are decoded before they are read as events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.coding import Decode
from harness.effects import OutputTopic
from harness.errors import StackError
from harness.observers.dead_letters import Known, letter_fields
from harness.observers.decoded import Decoded, decoded
from harness.observers.sources import Output
from harness.observers.spoiled import Spoiled
from harness.observers.topics import seen
from harness.observers.unreadable import Undecoded, UnreadableError
from harness.stack import Record, RunNames
from harness.system_events import DeadLetters, SourceHeaders
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


REVERSED = "import sys, base64\nfor line in sys.stdin: v = base64.b64decode(line); "
REVERSED += "print(v[::-1].decode() if v[-1:] == b'{' else 'null', flush=True)"


class Billed(Passes):
    """A topic with one record that can be decoded, and one that looks like JSON as it is."""

    closed = False

    def __init__(self) -> None:
        super().__init__([b'}"e" :"di"{', b"1"])

    async def close(self) -> None:
        self.closed = True


async def output(tmp_path: Path, **described: Any) -> tuple[list[Any], Billed]:
    (tmp_path / "decode.py").write_text(REVERSED)
    topic = OutputTopic.model_validate({"name": "billed", "decode": {"command": "python decode.py"}, **described})
    billed, rows = Billed(), []

    async def opened() -> Any:
        return await decoded(billed, topic.decode, tmp_path)

    await Output(topic, opened).each(rows.extend, everything=True)
    return rows, billed


async def test_the_records_of_an_output_topic_are_decoded_by_a_decoder_of_their_own(tmp_path: Path) -> None:
    (one, other), billed = await output(tmp_path, id="/id")
    assert (one["id"], one["effect"]) == ("e", "orders:0:0")
    assert other["id"] is None
    assert "no effect can be read from it: the decoder could not decode it" in other["error"]
    assert billed.closed


async def test_an_effect_whose_content_is_to_be_compared_must_be_decoded(tmp_path: Path) -> None:
    rows, _ = await output(tmp_path, id={"key": True}, carries="/digest")
    assert "the decoder could not decode it" in rows[1]["error"]


async def test_where_the_value_is_not_needed_it_need_not_be_decoded(tmp_path: Path) -> None:
    rows, _ = await output(tmp_path, id={"key": True})
    assert ["nothing at `id`" in row["error"] for row in rows] == [True, True]


async def test_without_a_decoder_the_reader_stays_as_it_is(tmp_path: Path) -> None:
    billed = Billed()
    assert await decoded(billed, None, tmp_path) is billed


async def test_a_decoder_that_is_not_there_is_found_before_there_is_a_record(tmp_path: Path) -> None:
    billed = Billed()
    with pytest.raises(StackError, match=r"^dead_letters\.decode: it ended with status"):
        await decoded(billed, Decode(function="nowhere:read"), tmp_path, "dead_letters.")
    assert billed.closed


def letter(source: str | SourceHeaders, **others: str) -> dict[str, object]:
    said = {
        "topic": "letters",
        "id": "/event_id",
        "consumer": "shop",
        "source": source,
        "decode": {"function": "a:b"},
    }
    where = DeadLetters.model_validate({**said, **others})
    headers = (("topic", b"r1.orders"), ("partition", b"0"), ("offset", b"7"))
    record = Record("letters", 0, 3, None, Undecoded(b'{"event_id": "e"}', "no schema"), headers)
    return dict(letter_fields(record, where, RunNames("r1"), Known(["orders"], ["shop"])))


def test_a_letter_that_cannot_be_decoded_is_unreadable_unless_its_headers_say_what_it_is_about() -> None:
    headers = SourceHeaders(topic="topic", partition="partition", offset="offset")
    for source, others in (("/source", {}), (headers, {"consumer": "/consumer"}), (headers, {"kind": "/kind"})):
        with pytest.raises(UnreadableError, match="no schema"):
            letter(source, **others)
    fields = letter(headers)
    assert (fields["source_topic"], fields["source_offset"], fields["event_id"]) == ("orders", 7, None)
