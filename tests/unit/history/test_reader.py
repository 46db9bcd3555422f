"""A history is read as it was written; what is torn at its end is left out, what is damaged elsewhere is said."""

from pathlib import Path

import duckdb
import pytest

from harness.errors import FileError, OneffectError
from harness.history import reader
from harness.history.reader import History
from tests.histories.builder import UPLOADS, good_run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return good_run().write(tmp_path / "history.jsonl")


def records(path: Path) -> int:
    with History(path) as history:
        return history.sql("SELECT count(*) AS n FROM history")[0]["n"]


def edit(path: Path, line: int, text: bytes) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1] = text
    path.write_bytes(b"".join(lines))


def test_every_record_is_there_but_the_header(path: Path) -> None:
    assert records(path) == len(path.read_bytes().splitlines()) - 1


def test_header_and_end(path: Path) -> None:
    with History(path) as history:
        assert history.header["seed"] == 1
        assert history.complete


def test_rows_are_dicts_and_parameters_are_named(path: Path) -> None:
    with History(path) as history:
        rows = history.sql("SELECT upload_id, phase FROM history WHERE upload_id = $id AND op = 'upload'", id="u3")
    assert rows == [{"upload_id": "u3", "phase": "invoke"}, {"upload_id": "u3", "phase": "ok"}]


def test_documents_and_maps_come_as_values(tmp_path: Path) -> None:
    tape = good_run()
    tape.find("fault", "bit")[0]["evidence"] = {"before": {"connections": 1}}
    with History(tape.write(tmp_path / "history.jsonl")) as history:
        assert history.sql("SELECT evidence FROM history WHERE phase = 'bit'") == [
            {"evidence": {"before": {"connections": 1}}}
        ]
        assert history.sql("SELECT joins FROM events WHERE event_id = 'placed-3'") == [
            {"joins": {"0": "u3", "1": "order-3"}}
        ]


def test_views_hold_what_their_names_say(path: Path) -> None:
    with History(path) as history:

        def many(view: str) -> int:
            return history.sql(f"SELECT count(*) AS n FROM {view}")[0]["n"]

        assert [many(view) for view in ("uploads", "acknowledged", "faults", "planned")] == [UPLOADS, UPLOADS, 1, 1]
        assert history.sql("SELECT what FROM finals ORDER BY what") == [
            {"what": what} for what in ("blobs", "dead_letters", "effects", "offsets", "topics")
        ]
        assert history.sql("SELECT DISTINCT state FROM uploads") == [{"state": "ok"}]
        assert history.sql("SELECT count(*) FILTER (final) AS n FROM blobs") == [{"n": UPLOADS}]


def test_a_torn_last_line_is_left_out(path: Path) -> None:
    whole = records(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert records(path) == whole - 1
    with History(path) as history:
        assert not history.complete


def test_a_last_line_without_its_end_counts_if_it_is_whole(path: Path) -> None:
    whole = records(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert records(path) == whole


def test_a_header_alone_is_a_history(path: Path) -> None:
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    with History(path) as history:
        assert not history.complete
    assert records(path) == 0


@pytest.mark.parametrize("damage", [b'{"i":5,"t":\n', b"[1]\n", b'{"t":3}\n', b"\x00\x00\n", b'{"i":"x","t":1}\n'])
def test_damage_in_the_middle_is_said_with_its_line(path: Path, damage: bytes) -> None:
    edit(path, 7, damage)
    with pytest.raises(FileError, match=r"history\.jsonl:7: is not a record"):
        History(path)


def test_a_value_of_another_type_is_null_and_its_record_stays(path: Path) -> None:
    whole = records(path)
    edit(path, 2, b'{"i":1,"t":1000000,"op":"dead_letter","phase":"seen","source_offset":"x","event_id":7}\n')
    assert records(path) == whole
    with History(path) as history:
        assert history.sql("SELECT source_offset, event_id FROM history WHERE i = 1") == [
            {"source_offset": None, "event_id": "7"}
        ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b'{"i":1,"t":2}\n', "has no header"),
        (b"not json\n", "has no header"),
        (b"[]\n", "has no header"),
        (b'{"oneffect_history":9,"versions":{"oneffect":"3.1"}}\n', r"is of format 9, .*\(3\.1\)"),
    ],
)
def test_what_is_no_history_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(content)
    with pytest.raises(FileError, match=said):
        History(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        History(tmp_path / "history.jsonl")


def test_a_small_history_leaves_nothing_beside_it(path: Path) -> None:
    records(path)
    assert [file.name for file in path.parent.iterdir()] == ["history.jsonl"]


def test_a_long_history_is_read_from_a_typed_copy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "CACHE_FROM", 0)
    whole = records(path)
    copy = path.with_suffix(".parquet")
    before = copy.stat().st_mtime_ns
    assert records(path) == whole
    assert copy.stat().st_mtime_ns == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["history.jsonl", "history.parquet"]


@pytest.mark.parametrize("spoil", [b"", b"PAR1 and no more", None])
def test_a_copy_that_is_spoilt_or_gone_is_made_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch, spoil: bytes | None
) -> None:
    monkeypatch.setattr(reader, "CACHE_FROM", 0)
    whole = records(path)
    copy = path.with_suffix(".parquet")
    copy.unlink()
    if spoil is not None:
        copy.write_bytes(spoil)
    assert records(path) == whole


def test_a_copy_of_an_older_history_is_made_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "CACHE_FROM", 0)
    whole = records(path)
    path.write_bytes(path.read_bytes() + b'{"i":9999,"t":9000000000,"actor":"run","op":"run","phase":"finished"}\n')
    assert records(path) == whole + 1


def test_damage_is_said_of_a_long_history_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "CACHE_FROM", 0)
    edit(path, 7, b"{\n")
    with pytest.raises(FileError, match=":7: is not a record"):
        History(path)


def test_a_table_is_made_once(path: Path) -> None:
    with History(path) as history:
        history.table("kept", "SELECT random() AS n")
        first = history.sql("SELECT n FROM kept")
        history.table("kept", "SELECT random() AS n")
        assert history.sql("SELECT n FROM kept") == first


def test_two_tables_of_one_name_are_refused(path: Path) -> None:
    with History(path) as history:
        history.table("kept", "SELECT 1 AS n")
        with pytest.raises(OneffectError, match="another table has this name"):
            history.table("kept", "SELECT 2 AS n")


def test_where_no_copy_may_be_written_it_is_made_elsewhere(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "CACHE_FROM", 0)
    monkeypatch.setattr("harness.history.reader.os.access", lambda *_: False)
    whole = len(path.read_bytes().splitlines()) - 1
    assert records(path) == whole
    assert [file.name for file in path.parent.iterdir()] == ["history.jsonl"]


def test_closing_leaves_nothing(path: Path) -> None:
    history = History(path)
    history.close()
    assert not Path(history._spill).exists()
    with pytest.raises(duckdb.ConnectionException):
        history.sql("SELECT 1")
