"""The file of judged candidates."""

from pathlib import Path

import pytest

from harness.errors import FileError
from harness.shrink.judged import Judged
from harness.shrink.rule import Ran
from tests.unit.shrink.conftest import candidate

ONE = candidate("{fault: service.kill, on: ledger, at: 25%, for: 500ms}")


def test_what_was_judged_is_there_again(tmp_path: Path) -> None:
    judged = Judged(tmp_path / "shrink.json", "r1")
    judged.entry(ONE).ran.append(Ran(41, "invalid", ("lost",), "shrink/one"))
    judged.entry(candidate()).refused = "no such thing"
    judged.keep()
    again = Judged(tmp_path / "shrink.json", "r1")
    assert again.entries == judged.entries
    assert again.entry(ONE).ran == [Ran(41, "invalid", ("lost",), "shrink/one")]
    assert (again.entry(candidate()).number, again.stale) == (2, False)
    assert again.runs() == again.entry(ONE).ran


def test_what_was_judged_of_another_system_says_nothing(tmp_path: Path) -> None:
    judged = Judged(tmp_path / "shrink.json", "r1")
    judged.entry(ONE)
    judged.keep()
    again = Judged(tmp_path / "shrink.json", "r2")
    assert (again.entries, again.stale) == ({}, True)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": 1, "of": "r1", "candidates": [{"ran": []}]}'])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "shrink.json"
    path.write_text(text)
    with pytest.raises(FileError, match=r"shrink.json: is damaged; remove it"):
        Judged(path, "r1")
