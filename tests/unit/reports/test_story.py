"""A story is told from the history alone, oldest first."""

import pytest

from harness.errors import UsageError
from harness.history.reader import History
from harness.reports.story import find, tell


def test_the_story_of_a_lost_event(history: History, lost: str) -> None:
    told = [
        (moment.t / 1e9, moment.who, moment.text.split(",")[0]) for moment in tell(history, "event", lost).moments
    ]
    assert told == [
        (11.0, "client", "upload r1-0000000 sent: é\x1b[31m.txt"),
        (11.1, "client", "upload acknowledged"),
        (11.2, "blob c0ffee…", "raw blob present after the answer"),
        (12.0, "essays:0:0", f"event {lost} on the topic: essay.provisioned.v1"),
        (12.031, "store", f"was asked: SET claim:essay_lifecycle:{lost}"),
        (12.033, "essay_lifecycle#1", "fault f1 service.kill injected"),
        (12.034, "essay_lifecycle#1", "service killed"),
        (12.04, "essay_lifecycle#1", "fault f1 service.kill bit"),
        (12.5, "essay_lifecycle#1", "fault f1 service.kill healed"),
        (14.2, "essay_lifecycle", "offset passed (essays:0:0"),
        (16.5, "file_service#1->redis", "fault f2 net.hang injected"),
        (17.0, "blob c0ffee…", "raw blob missing at the end"),
        (31.0, "essay_lifecycle", "the final read begins"),
    ]


def test_the_story_of_an_upload_is_that_of_its_events(history: History, lost: str) -> None:
    assert tell(history, "upload", "r1-0000000").moments == tell(history, "event", lost).moments


def test_effects_and_copies_are_told(history: History, twice: str) -> None:
    texts = [moment.text for moment in tell(history, "event", twice).moments]
    assert [text for text in texts if text.startswith("effect")] == [
        "effect 1 seen, carries aaaaaaaaaaaa…",
        "effect 2 seen, carries aaaaaaaaaaaa…",
    ]
    assert any(text.startswith("event published again by kafka.duplicate") for text in texts)
    assert not any("no effect" in text for text in texts)


def test_the_beginning_of_an_id_is_enough(history: History, lost: str) -> None:
    assert find(history, "event", "7f") == lost
    assert find(history, "event", lost) == lost
    assert find(history, "upload", "r1-") == "r1-0000000"


def test_an_id_that_nobody_has(history: History) -> None:
    with pytest.raises(UsageError, match="no event 'zz'"):
        find(history, "event", "zz")
    with pytest.raises(UsageError, match="no upload '7f'"):
        find(history, "upload", "7f")


def test_a_beginning_that_several_have(history: History, lost: str, twice: str) -> None:
    with pytest.raises(UsageError, match=rf"begins several events: {lost}, {twice}; give more"):
        find(history, "event", "")


@pytest.mark.parametrize("prefix", ["%", "_", "7f%", "' OR 1=1 --"])
def test_a_prefix_is_text_and_no_pattern(history: History, prefix: str) -> None:
    with pytest.raises(UsageError, match="no event"):
        find(history, "event", prefix)
