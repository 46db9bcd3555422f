"""Parts joined to a history: each operation once, contradictions refused, the history left as it was."""

import time
from pathlib import Path

import orjson
import pytest

from harness.errors import FileError
from harness.history.merge import merge
from harness.history.part import Clock, PartRecorder
from harness.history.recorder import HistoryRecorder


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Of a run that has ended, with a worker whose part has not come."""
    path = tmp_path / "history.jsonl"
    header = {"plan": {}, "plan_digest": "d", "seed": 7, "versions": {}, "started": "now", "run": "r1"}
    with HistoryRecorder(path, {**header, "clock": Clock.now().document()}, clock=time.monotonic_ns) as recorder:
        recorder.record("load", "joined", "load", worker="w1")
        recorder.record("run", "finished", "run")
    return path


@pytest.fixture
def part(tmp_path: Path, history: Path) -> PartRecorder:
    return PartRecorder(tmp_path / "parts", run="r1", worker="w1")


def upload(part: PartRecorder, name: str, **fields: object) -> None:
    intended = part.now()
    with part.operation("upload", "client", upload_id=name, operation=f"{name}.0.w1", intended=intended) as operation:
        operation.ok(status=202, **fields)


def records(path: Path) -> list[dict]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()][1:]


def test_a_part_is_joined_before_the_end_of_the_run(history: Path, part: PartRecorder) -> None:
    upload(part, "u1")
    part.end()
    assert merge(history, [part.path]) == (2, 0)
    joined, _, invoke, ok, ended, last = records(history)
    assert [record["i"] for record in records(history)] == [1, 2, 3, 4, 5, 6]
    assert (invoke["op"], invoke["phase"], ok["of"], joined["worker"]) == ("upload", "invoke", invoke["i"], "w1")
    assert 0 < invoke["intended"] <= invoke["t"] <= ok["t"]
    assert (ended["op"], ended["phase"], ended["worker"]) == ("load", "ended", "w1")
    assert (last["op"], last["phase"]) == ("run", "finished")


def test_a_second_time_changes_nothing(history: Path, part: PartRecorder) -> None:
    upload(part, "u1")
    part.end()
    merge(history, [part.path])
    before = history.read_bytes()
    assert merge(history, [part.path]) == (0, 2)
    assert history.read_bytes() == before


def test_a_part_without_its_end_leaves_its_worker_open(history: Path, part: PartRecorder) -> None:
    upload(part, "u1")
    merge(history, [part.path])
    phases = [record["phase"] for record in records(history) if record["op"] == "load"]
    assert phases == ["joined", "began"]


def test_a_part_without_its_end_changes_nothing_a_second_time(history: Path, part: PartRecorder) -> None:
    upload(part, "u1")
    merge(history, [part.path])
    before = history.read_bytes()
    merge(history, [part.path])
    assert history.read_bytes() == before


def test_a_run_that_is_still_under_way_is_left_alone(tmp_path: Path) -> None:
    """Its recorder would go on writing to a file that nobody finds any more."""
    path = tmp_path / "history.jsonl"
    header = {"plan": {}, "plan_digest": "d", "seed": 7, "versions": {}, "started": "now", "run": "r1"}
    part = PartRecorder(tmp_path / "parts", run="r1", worker="w1")
    upload(part, "u1")
    part.end()
    with HistoryRecorder(path, {**header, "clock": Clock.now().document()}, clock=time.monotonic_ns) as recorder:
        with pytest.raises(FileError, match="still under way"):
            merge(path, [part.path])
        recorder.record("run", "finished", "run")
    assert merge(path, [part.path]) == (2, 0)
    assert len(records(path)) == 5


def test_a_line_that_a_kill_tore_is_left_out(history: Path, part: PartRecorder) -> None:
    upload(part, "u1")
    part.end()
    with history.open("ab") as file:
        file.write(b'{"i":3,"t":17,"ac')
    assert merge(history, [part.path]) == (2, 0)
    assert len(records(history)) == 6


def test_a_history_without_a_clock_takes_no_parts(history: Path, part: PartRecorder) -> None:
    """That of ``oneffect up``: when its uploads were could not be said."""
    part.end()
    header, *rest = history.read_bytes().splitlines(keepends=True)
    told = orjson.loads(header)
    del told["clock"]
    history.write_bytes(b"".join([orjson.dumps(told) + b"\n", *rest]))
    with pytest.raises(FileError, match="oneffect load"):
        merge(history, [part.path])


def test_a_contradiction_is_refused_and_nothing_is_changed(history: Path, part: PartRecorder, tmp_path: Path) -> None:
    upload(part, "u1")
    merge(history, [part.path])
    before = history.read_bytes()
    other = PartRecorder(tmp_path / "other", run="r1", worker="w1")
    upload(other, "u1", raw_file_storage_id="another")
    with pytest.raises(FileError, match=r"u1\.0\.w1 is in the history already"):
        merge(history, [other.path])
    assert history.read_bytes() == before


def test_a_part_of_another_run_is_refused(history: Path, tmp_path: Path) -> None:
    other = PartRecorder(tmp_path / "other", run="r2", worker="w1")
    with pytest.raises(FileError, match="part of run r2"):
        merge(history, [other.path])


def test_times_of_another_machine_are_only_placed(history: Path, part: PartRecorder) -> None:
    upload(part, "u1")
    part.end()
    first, rest = part.path.read_bytes().split(b"\n", 1)
    header = orjson.loads(first)
    header["clock"]["boot"] = "elsewhere"
    part.path.write_bytes(orjson.dumps(header) + b"\n" + rest)
    merge(history, [part.path])
    assert [record["placed"] for record in records(history) if record["op"] == "upload"] == [True, True]


def test_a_history_that_is_none_is_said(tmp_path: Path, part: PartRecorder) -> None:
    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text("{}\n")
    with pytest.raises(FileError, match="no parts can be merged into it"):
        merge(nothing, [part.path])
