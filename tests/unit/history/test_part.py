"""A worker's part of the history: on record before a request is sent, read while it grows, whole or not."""

from pathlib import Path

import orjson
import pytest

from harness.errors import FileError, OneffectError
from harness.history.part import Clock, Part, PartRecorder


@pytest.fixture
def writer(tmp_path: Path) -> PartRecorder:
    return PartRecorder(tmp_path, run="r1", worker="w1")


def lines(recorder: PartRecorder) -> list[dict]:
    return [orjson.loads(line) for line in recorder.path.read_bytes().splitlines()]


def test_a_record_is_in_the_file_before_the_call_returns(writer: PartRecorder) -> None:
    with writer.operation("upload", "client", upload_id="u1", operation="u1.0.w1") as operation:
        assert lines(writer)[-1]["phase"] == "invoke"
        operation.ok(status=202)
    invoke, ok = lines(writer)[1:]
    assert (ok["phase"], ok["of"], ok["upload_id"], ok["worker"]) == ("ok", invoke["i"], "u1", "w1")


def test_a_user_that_is_killed_leaves_unknown(writer: PartRecorder) -> None:
    with pytest.raises(KeyboardInterrupt), writer.operation("upload", "client", upload_id="u1", operation="u1.0.w1"):
        raise KeyboardInterrupt
    assert lines(writer)[-1]["phase"] == "unknown"


def test_what_the_format_does_not_know_is_refused(writer: PartRecorder) -> None:
    with pytest.raises(OneffectError, match="lists what a record may carry"):
        writer.record("upload", "invoke", "client", colour="red")


def test_two_workers_of_one_id_are_noticed(writer: PartRecorder, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be made"):
        PartRecorder(tmp_path, run="r1", worker="w1")


def test_a_part_is_read_while_it_grows(writer: PartRecorder) -> None:
    part = Part(writer.path)
    assert [*part.take()] == []
    assert (part.begun, part.run, part.worker, part.ended) == (True, "r1", "w1", False)
    writer.record("upload", "invoke", "client", upload_id="u1", operation="u1.0.w1")
    assert [record["upload_id"] for record in part.take()] == ["u1"]
    assert [*part.take()] == []
    writer.end()
    assert [*part.take()] == []
    assert part.ended


def test_a_torn_line_is_left_for_the_next_time(writer: PartRecorder) -> None:
    part = Part(writer.path)
    with writer.path.open("ab") as file:
        file.write(b'{"i":1,"t":5,"op":"upload",')
    assert [*part.take()] == []
    with writer.path.open("ab") as file:
        file.write(b'"phase":"invoke"}\n')
    assert len([*part.take()]) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"nonsense\n", "is not a record"),
        (b'{"i":2,"op":"upload","phase":"invoke"}\n', "is not record 1"),
        (b'{"i":1,"op":"upload","phase":"dreamt"}\n', "is not record 1"),
        (b'{"oneffect_part_end":7}\n', "counts 7 records, but there are 0"),
        (b'{"oneffect_part_end":0}\n{"i":1,"op":"upload","phase":"invoke"}\n', "after the end"),
    ],
)
def test_a_damaged_part_is_refused(writer: PartRecorder, line: bytes, message: str) -> None:
    with writer.path.open("ab") as file:
        file.write(line)
    with pytest.raises(FileError, match=message):
        [*Part(writer.path).take()]


def test_another_file_is_no_part(tmp_path: Path) -> None:
    path = tmp_path / "part-x.jsonl"
    path.write_text('{"oneffect_history": 1}\n')
    with pytest.raises(FileError, match="not a part of a history"):
        [*Part(path).take()]


def test_clocks_of_one_machine_are_one_clock() -> None:
    here, there = Clock("a", 100, 1000), Clock("b", 900, 1300)
    assert here.same(Clock("a", 7, 7))
    assert not Clock("", 1, 1).same(Clock("", 1, 1))
    assert here.brought(150, Clock("a", 7, 7)) == 150
    assert here.brought(150, there) == 150 - 100 + 1000 - 1300 + 900
