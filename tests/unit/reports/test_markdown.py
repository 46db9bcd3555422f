"""The Markdown summary: what it says, and that nothing untrusted acts in it."""

import re

from hypothesis import given
from hypothesis import strategies as st

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
