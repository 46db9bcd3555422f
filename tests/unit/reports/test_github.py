"""Workflow commands: what GitHub reads, and what it must not take for one."""

from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from harness.reports.github import MOST, annotate, annotation, unread
from tests.unit.reports.cases import case, document


def test_an_annotation_names_the_file_the_line_and_why(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    bad = case(made=document("invalid", anomalies={"lost": 3}))
    said = annotation(bad, 8, {"GITHUB_WORKSPACE": str(tmp_path)})
    head, _, message = said.removeprefix("::").partition("::")
    assert head == "error file=sub/scenarios/outage.yaml,line=8,title=oneffect outage"
    assert message.startswith("invalid with lost 3, expected valid%0A")


def test_without_a_line_it_is_the_first() -> None:
    assert ",line=1," in annotation(case(error="x"), None, {})


@given(st.text())
@example("a,b:c%0Ad\r\ne::f")
def test_whatever_it_says_is_one_command(text: str) -> None:
    said = annotation(case(f"a{text}", error=text or "x"), 1, {})
    assert len(said.splitlines()) == 1
    head, _, message = said.removeprefix("::error ").partition("::")
    assert [part.partition("=")[0] for part in head.split(",")] == ["file", "line", "title"]
    assert "%" not in message.replace("%25", "").replace("%0A", "").replace("%0D", "")


def test_what_is_printed_within_is_no_command() -> None:
    said: list[str] = []
    with unread(said.append):
        said.append("::set-env name=a::b")
    first, _, last = said
    token = first.removeprefix("::stop-commands::")
    assert last == f"::{token}::"
    assert len(token) == 32


def bad(count: int):
    return [(case(f"outage{number}", error="x"), number) for number in range(count)]


def test_as_many_annotations_as_are_shown() -> None:
    assert [",line=9," in line for line in annotate(bad(MOST), {})].count(True) == 1
    assert len(annotate(bad(MOST), {})) == MOST
    assert annotate([], {}) == []


def test_of_more_the_last_says_how_many_and_which() -> None:
    said = annotate(bad(MOST + 3), {})
    assert len(said) == MOST
    assert "title=oneffect outage8::" in said[-2]
    assert said[-1].startswith("::error title=oneffect%3A 4 more runs did not pass::outage9: could not")
    assert said[-1].count("%0A") == 3
    assert "outage12: could not be run: x" in said[-1]
