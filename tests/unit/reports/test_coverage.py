"""What a run has tried, in words, and the sum over several runs."""

from pathlib import Path

from harness.history.reader import History
from harness.reports.coverage import added, coverage, sentence, untried
from harness.reports.document import document
from harness.reports.html import page
from harness.reports.terminal import text
from harness.verdict import Verdict
from tests.histories.builder import Tape, good_run
from tests.histories.cases import cut_off, killed_at_its_reply

ROW = {
    "consumer": "desk",
    "cut": {"claimed": {"deliveries": 1, "again": {"other": 1}, "redis": {"kept": 1}}},
    "lost": {"SET": 1},
}


def with_a_death(tape: Tape) -> None:
    cut_off(tape, applied=False)
    tape.header["plan"]["scenario"] = {"taps": "all"}
    tape.wire(426, "desk#2->redis", "SET", key="other", phase="lost_reply")


def recorded(folder: Path) -> Path:
    return good_run(with_a_death).write(folder / "history.jsonl")


def test_of_a_history(tmp_path: Path) -> None:
    with History(recorded(tmp_path)) as history:
        assert coverage(history) == [ROW]


def test_an_answer_that_died_with_its_replica_was_not_lost(tmp_path: Path) -> None:
    with History(good_run(killed_at_its_reply).write(tmp_path / "history.jsonl")) as history:
        assert [row["lost"] for row in coverage(history) if row["consumer"] == "desk"] == [{}]


def test_a_run_without_taps_tells_nothing(tmp_path: Path) -> None:
    with History(good_run().write(tmp_path / "history.jsonl")) as history:
        assert not coverage(history)


def test_taps_on_some_links_tell_nothing(tmp_path: Path) -> None:
    def change(tape: Tape) -> None:
        with_a_death(tape)
        tape.header["plan"]["scenario"] = {"taps": None}

    with History(good_run(change).write(tmp_path / "history.jsonl")) as history:
        assert not coverage(history)


def test_in_words() -> None:
    assert sentence(ROW) == (
        "desk: deaths cut off 1 between claim and effect (again at another replica 1; Redis as it was 1); answers lost: SET 1"
    )
    assert untried(ROW) == ["a death before the claim", "a death between effect and offset"]


def test_nothing_tried_is_said() -> None:
    row = {"consumer": "desk", "cut": {}, "lost": {}}
    assert sentence(row) == "desk: no death is known to have cut a delivery off"
    assert len(untried(row)) == 4


def test_the_sum_of_several_runs() -> None:
    other = {
        "consumer": "desk",
        "cut": {
            "claimed": {"deliveries": 2, "again": {"other": 1, "none": 1}, "redis": {"away": 1}},
            "applied": {"deliveries": 1, "again": {"same": 1}, "redis": {}},
        },
        "lost": {},
    }
    (row,) = added([[ROW], [], [other]])
    assert row["cut"]["claimed"] == {
        "deliveries": 3,
        "again": {"other": 2, "none": 1},
        "redis": {"kept": 1, "away": 1},
    }
    assert row["cut"]["applied"]["deliveries"] == 1
    assert row["lost"] == {"SET": 1}


def test_all_reports_say_it(tmp_path: Path) -> None:
    with History(recorded(tmp_path)) as history:
        made = document(history, [], Verdict.VALID, {})
        assert sentence(ROW) in text(made, tmp_path)
        html = page(history, made, {}, run="r1")
    assert "died between claim and effect" in html
    assert "answer lost: SET" in html
    assert "never tried with: a death before the claim" in html
