"""The Markdown summary: what it says, and that nothing untrusted acts in it."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from harness.reports.github import LARGEST
from harness.reports.markdown import LONGEST, escaped, markdown
from tests.unit.reports.cases import case, document


def test_a_table_of_all_and_the_report_of_what_did_not_pass() -> None:
    bad = case(variant="setnx_only", made=document("invalid", anomalies={"lost": 3}))
    lines = markdown([case(), bad], seed=41, headline="1 of 2 runs did not pass").splitlines()
    assert lines[0] == "## oneffect: 1 of 2 runs did not pass"
    rows = [line for line in lines if line.startswith(("| ✅", "| ❌"))]
    assert [row.split(" | ")[:4] for row in rows] == [
        ["| ✅", "outage", "reference", "valid"],
        ["| ❌", "outage", "setnx\\_only", "invalid"],
    ]
    assert {row.count(" | ") for row in rows} == {9}
    assert "### outage setnx\\_only: invalid with lost 3, expected valid" in lines
    assert sum(line == "```" for line in lines) == 1


def test_what_passed_has_no_report() -> None:
    assert "###" not in markdown([case()], seed=1, headline="x")


def test_a_long_report_is_cut() -> None:
    told = markdown([case(error="x" * 100_000)], seed=1, headline="x")
    assert len(told) < 2 * LONGEST
    assert "(cut;" in told


def test_a_fence_within_a_report_does_not_end_it() -> None:
    told = markdown([case(error="a\n````\n<script>")], seed=1, headline="x")
    assert "\n`````text\n" in told
    assert told.rstrip().endswith("\n`````")


def test_marks_are_escaped() -> None:
    assert escaped("a|b\n<img src=x> [x](y) `z` *w*") == r"a\|b\x0a\<img src=x\> \[x\](y) \`z\` \*w\*".replace(
        r"\x0a", r"\\x0a"
    )


@given(st.text())
def test_no_text_leaves_its_cell(text: str) -> None:
    told = escaped(text)
    assert "\n" not in told
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<`\[]", told)


def bad(count: int):
    return [case(f"outage{number}", error=f"{number}\n" + "é" * 7000) for number in range(count)]


def size(told: str) -> int:
    return len(told.encode())


def test_it_is_no_larger_in_bytes_than_what_is_shown_and_says_how_many_reports_it_leaves_out() -> None:
    told = markdown(bad(100), seed=1, headline="100 of 100 runs did not pass")
    assert LARGEST - 20_000 < size(told) <= LARGEST
    kept = told.count("\n### ")
    assert told.endswith(f"\n{100 - kept} more reports do not fit here.\n")
    assert told.count("| ❌ |") == 100
    assert told.count("```text") * 2 == sum(line in {"```", "```text"} for line in told.splitlines())


def test_rows_that_do_not_fit_are_counted_too() -> None:
    told = markdown(bad(20), seed=1, headline="x", room=1000)
    assert size(told) <= 1000
    rows = told.count("| ❌ |")
    assert 0 < rows < 20
    assert f"\n{20 - rows} more rows do not fit here.\n" in told
    assert told.endswith("\n20 more reports do not fit here.\n")


def test_where_nothing_fits_nothing_is_said() -> None:
    assert not markdown(bad(2), seed=1, headline="x", room=10)
    assert not markdown(bad(2), seed=1, headline="x", room=-10)


WHOLE = size(markdown(bad(3), seed=1, headline="x"))


@given(st.integers(-100, WHOLE + 100))
@example(WHOLE)
@example(WHOLE - 1)
def test_it_keeps_to_its_room(room: int) -> None:
    told = markdown(bad(3), seed=1, headline="x", room=room)
    assert size(told) <= max(0, room)
    if room > 500:
        assert ("more reports do not fit" in told) == ("### outage2" not in told)


def test_a_short_error_is_said_once() -> None:
    told = markdown([case(error="kafka died")], seed=1, headline="x")
    assert told.count("kafka died") == 1
