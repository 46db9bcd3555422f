"""A story in one line, in the form that the design gives."""

from harness.history.reader import History
from harness.reports.short import shorts
from harness.reports.story import tell
from harness.reports.summary import subject, summary


def line(history: History, row: dict[str, object]) -> str:
    about = subject(row)
    assert about
    return summary(row, tell(history, *about), shorts(history, [about])[about])


def test_a_lost_event_in_one_line(history: History, lost: str) -> None:
    row = {"event_id": lost, "consumer": "essay_lifecycle"}
    assert line(history, row) == (
        "event 7f3a1111… essay_lifecycle  published 12.000 s, claimed 12.031 s, killed 12.034 s, "
        "offset passed 14.200 s, no effect by 31.000 s"
    )


def test_a_duplicate_in_one_line(history: History, twice: str) -> None:
    row = {"event_id": twice, "consumer": "essay_lifecycle"}
    assert line(history, row) == (
        "event 9b2c2222… essay_lifecycle  published 12.600 s, claimed 12.700 s, effect 15.100 s, "
        "published again 16.000 s, offset passed 18.000 s, second effect 31.100 s"
    )


def test_an_upload_in_one_line_is_about_its_blob(history: History) -> None:
    told = line(history, {"upload_id": "r1-0000000"})
    assert told.startswith("upload r1-0000000  uploaded 11.000 s, blob present 11.200 s")
    assert told.endswith("blob missing 17.000 s")
    assert "claimed" not in told


def test_a_row_about_neither_has_no_story(history: History) -> None:
    assert subject({"fault": "f1"}) is None
