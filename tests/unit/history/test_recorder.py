"""Records are written as they happen, in order, and only as the format knows them."""

import asyncio
import threading
import time
from itertools import count
from pathlib import Path

import orjson
import pytest

from harness.errors import FileError, OneffectError
from harness.history.recorder import HistoryRecorder

HEADER = {"plan": {}, "plan_digest": "d", "seed": 7, "versions": {"oneffect": "0"}, "started": "now", "run": "r1"}


def recorder(tmp_path: Path) -> HistoryRecorder:
    ticks = count(1000)
    return HistoryRecorder(tmp_path / "history.jsonl", HEADER, clock=lambda: next(ticks))


def written(tmp_path: Path) -> list[dict]:
    return [orjson.loads(line) for line in (tmp_path / "history.jsonl").read_bytes().splitlines()]


def test_the_first_line_is_the_header(tmp_path: Path) -> None:
    recorder(tmp_path).close()
    assert written(tmp_path) == [{"oneffect_history": 1, **HEADER, "t0": 1000}]


def test_a_header_without_a_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OneffectError, match="plan missing"):
        HistoryRecorder(tmp_path / "history.jsonl", {k: v for k, v in HEADER.items() if k != "plan"}, clock=lambda: 0)


def test_records_have_an_index_and_the_time_since_the_start(tmp_path: Path) -> None:
    with recorder(tmp_path) as tape:
        assert tape.record("run", "loaded", "run") == 1
        assert tape.record("run", "finished", "run", error="none") == 2
    assert written(tmp_path)[1:] == [
        {"i": 1, "t": 1, "actor": "run", "op": "run", "phase": "loaded"},
        {"i": 2, "t": 2, "actor": "run", "op": "run", "phase": "finished", "error": "none"},
    ]


def test_what_is_none_is_left_out(tmp_path: Path) -> None:
    with recorder(tmp_path) as tape:
        tape.record("effect", "seen", "o", consumer="shop", effect=None, digest=None)
    assert written(tmp_path)[1].keys() == {"i", "t", "actor", "op", "phase", "consumer"}


@pytest.mark.parametrize(
    ("op", "phase", "fields", "said"),
    [
        ("uplaod", "ok", {}, "no op 'uplaod'; known are upload"),
        ("upload", "seen", {}, "no phase 'seen'; known are invoke, ok, fail, unknown"),
        ("upload", "ok", {"colour": 1}, "no field colour"),
        ("upload", "ok", {"i": 5}, "no field i"),
        ("upload", "ok", {"file_name": object()}, "upload ok: .*file_name"),
        ("upload", "ok", {"file_name": "\ud800"}, "upload ok: .*file_name"),
    ],
)
def test_what_the_format_does_not_know_is_refused_and_takes_no_index(
    tmp_path: Path, op: str, phase: str, fields: dict, said: str
) -> None:
    with recorder(tmp_path) as tape:
        with pytest.raises(OneffectError, match=said):
            tape.record(op, phase, "client", **fields)
        assert tape.record("run", "finished", "run") == 1


def test_an_operation_is_an_invoke_and_an_answer_that_names_it(tmp_path: Path) -> None:
    with recorder(tmp_path) as tape, tape.operation("upload", "client", upload_id="u1", size=3) as operation:
        assert operation.index == 1
        operation.ok(status=202, size=4)
    _, invoke, ok = written(tmp_path)
    assert (invoke["phase"], invoke["upload_id"], invoke["size"]) == ("invoke", "u1", 3)
    assert (ok["phase"], ok["of"], ok["upload_id"], ok["size"], ok["status"]) == ("ok", 1, "u1", 4, 202)


@pytest.mark.parametrize("phase", ["ok", "fail", "unknown"])
def test_an_operation_ends_as_it_is_told(tmp_path: Path, phase: str) -> None:
    with recorder(tmp_path) as tape, tape.operation("upload", "client") as operation:
        getattr(operation, phase)()
    assert [record["phase"] for record in written(tmp_path)[1:]] == ["invoke", phase]


def test_leaving_without_an_answer_is_unknown(tmp_path: Path) -> None:
    with recorder(tmp_path) as tape, tape.operation("upload", "client"):
        pass
    assert written(tmp_path)[-1]["phase"] == "unknown"


def test_an_error_is_unknown_and_goes_on(tmp_path: Path) -> None:
    with recorder(tmp_path) as tape, pytest.raises(TimeoutError), tape.operation("upload", "client"):
        raise TimeoutError("no answer")
    assert written(tmp_path)[-1]["phase"] == "unknown"
    assert written(tmp_path)[-1]["error"] == "TimeoutError: no answer"


async def test_a_cancelled_operation_is_unknown(tmp_path: Path) -> None:
    begun = asyncio.Event()
    with recorder(tmp_path) as tape:

        async def never() -> None:
            with tape.operation("upload", "client"):
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(never())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert written(tmp_path)[-1]["phase"] == "unknown"


def test_an_error_after_the_answer_does_not_change_it(tmp_path: Path) -> None:
    with recorder(tmp_path) as tape:
        operation = tape.operation("upload", "client")
        operation.__enter__().ok()
        operation.__exit__(TimeoutError, TimeoutError("too late"), None)
    assert [record["phase"] for record in written(tmp_path)[1:]] == ["invoke", "ok"]


def test_an_operation_has_one_answer(tmp_path: Path) -> None:
    with recorder(tmp_path) as tape, tape.operation("upload", "client") as operation:
        operation.ok()
        with pytest.raises(OneffectError, match="has ended already"):
            operation.fail()


def test_lines_reach_the_file_while_the_run_goes_on(tmp_path: Path) -> None:
    with recorder(tmp_path) as tape:
        tape.record("run", "loaded", "run")
        deadline = time.monotonic() + 30
        while len(written(tmp_path)) < 2:
            assert time.monotonic() < deadline
            threading.Event().wait(0.01)


def test_threads_may_record_at_once(tmp_path: Path) -> None:
    with recorder(tmp_path) as tape:
        threads = [
            threading.Thread(target=lambda: [tape.record("run", "loaded", "run") for _ in range(2000)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    records = written(tmp_path)[1:]
    assert [record["i"] for record in records] == list(range(1, 8001))
    assert [record["t"] for record in records] == sorted(record["t"] for record in records)


def test_numbers_may_be_keys(tmp_path: Path) -> None:
    with recorder(tmp_path) as tape:
        tape.record("fault", "bit", "fault:f1", evidence={0: 17})
    assert written(tmp_path)[1]["evidence"] == {"0": 17}


def test_an_existing_history_is_never_overwritten(tmp_path: Path) -> None:
    recorder(tmp_path).close()
    with pytest.raises(FileError, match="name a new file"):
        recorder(tmp_path)
    assert len(written(tmp_path)) == 1


def test_after_the_end_nothing_is_recorded(tmp_path: Path) -> None:
    tape = recorder(tmp_path)
    tape.close()
    tape.close()
    with pytest.raises(OneffectError, match="closed"):
        tape.record("run", "finished", "run")


def test_a_full_disk_is_said_at_the_next_record(tmp_path: Path) -> None:
    full = Path("/dev/full")
    tape = recorder(tmp_path)
    tape._file.close()
    tape._file = full.open("wb", buffering=0)
    tape.record("run", "loaded", "run")
    with pytest.raises(FileError, match="No space left"):
        tape.close()
    with pytest.raises(FileError, match="No space left"):
        tape.record("run", "finished", "run")
