"""Enough of an id is printed to be the only one that begins so."""

from pathlib import Path
from typing import Literal

import pytest

from harness.history.reader import History
from harness.reports.short import shorts
from harness.reports.story import find
from tests.histories.builder import good_run

UUIDV7 = [
    "018f6b2a-7c00-7000-8000-000000000001",
    "018f6b2a-7c00-7000-8000-000000000002",
    "018f6b2a-7c01-7abc-8000-000000000003",
    "018f6b2b-0000-7000-8000-000000000004",
]
ULID = ["01HXN9AB3CDEFGHJKMNPQRST0V", "01HXN9AB3CDEFGHJKMNPQRST1V", "01HXN9AB3DAAAAAAAAAAAAAAAA"]


def recorded(folder: Path, ids: list[str]) -> History:
    """A run whose first events have these ids."""
    tape = good_run()
    for n, id_ in enumerate(ids):
        for record in [*tape.find("event"), *tape.find("effect")]:
            if record["event_id"] == f"placed-{n}":
                record["event_id"] = id_
    return History(tape.write(folder / "history.jsonl"))


@pytest.mark.parametrize("ids", [UUIDV7, ULID, [*UUIDV7, *ULID]])
def test_what_is_printed_finds_the_event(tmp_path: Path, ids: list[str]) -> None:
    with recorded(tmp_path, ids) as history:
        printed = shorts(history, [("event", id_) for id_ in ids])
        for id_ in ids:
            assert find(history, "event", printed["event", id_]) == id_
            assert id_.startswith(printed["event", id_])


def test_no_more_than_is_needed_and_at_least_eight(tmp_path: Path) -> None:
    with recorded(tmp_path, UUIDV7) as history:
        printed = shorts(history, [("event", id_) for id_ in UUIDV7])
    assert list(printed.values()) == [UUIDV7[0], UUIDV7[1], "018f6b2a-7c01", "018f6b2b"]


def test_ids_that_are_not_shown_count_too(tmp_path: Path) -> None:
    with recorded(tmp_path, UUIDV7) as history:
        assert shorts(history, [("event", UUIDV7[2])]) == {("event", UUIDV7[2]): "018f6b2a-7c01"}


def test_an_id_that_begins_another_is_whole(tmp_path: Path) -> None:
    ids = ["order-00001", "order-000010"]
    with recorded(tmp_path, ids) as history:
        for id_, printed in shorts(history, [("event", id_) for id_ in ids]).items():
            assert printed == id_[1]
            assert find(history, "event", printed) == id_[1]


def test_an_effect_of_an_event_that_nobody_saw_counts(tmp_path: Path) -> None:
    tape = good_run()
    for record in tape.find("effect", event_id="placed-1"):
        record["event_id"] = "placed-00000000"
    with History(tape.write(tmp_path / "history.jsonl")) as history:
        assert find(history, "event", shorts(history, [("event", "placed-00000000")])["event", "placed-00000000"])
        assert shorts(history, [("event", "placed-0")])["event", "placed-0"] == "placed-0"


def test_uploads_and_places_are_whole(history: History) -> None:
    about: list[tuple[Literal["event", "upload"], str]] = [("upload", "r1-0000000"), ("event", "essays:0:12")]
    assert shorts(history, about) == {one: one[1] for one in about}


def test_many_ids_are_one_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with recorded(tmp_path, UUIDV7) as history:
        asked: list[str] = []
        ask = history.sql
        monkeypatch.setattr(history, "sql", lambda query, **given: asked.append(query) or ask(query, **given))
        shorts(history, [("event", id_) for id_ in UUIDV7])
    assert len(asked) == 1
