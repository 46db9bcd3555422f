"""Text stays text, wherever it comes from."""

import pytest

from harness.reports.html_tag import LONGEST, Html, join, tag, text

HOSTILE = "</td><script>alert(1)</script>&\"'"


def test_text_is_escaped() -> None:
    assert tag("td", HOSTILE) == "<td>&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#x27;</td>"


def test_an_attribute_cannot_end_early() -> None:
    assert tag("svg", aria_label='x" onload="y') == '<svg aria-label="x&quot; onload=&quot;y"></svg>'


def test_markup_is_kept_and_joined() -> None:
    assert join(tag("b", "x"), "<", None, 3) == "<b>x</b>&lt;3"


@pytest.mark.parametrize("mixed", [f"{tag('b', HOSTILE)}", tag("b") + HOSTILE, "%s" % tag("b")])  # noqa: UP031 - each way of mixing
def test_mixed_with_plain_text_it_is_plain_text(mixed: str) -> None:
    assert "<" not in text(mixed)


def test_names_of_attributes() -> None:
    assert tag("line", class_="grid", stroke_width=1.25, x1=2.0, viewBox="0 0 1 1", id=None) == (
        '<line class="grid" stroke-width="1.2" x1="2" viewBox="0 0 1 1"></line>'
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [("a\x1b[31m", "a\\x1b[31m"), ("a\u202eb", "a\\u202eb"), ("\ud800", "\\ud800"), ("\n", "\\x0a")],
)
def test_what_cannot_be_seen_is_written_out(given: str, said: str) -> None:
    assert text(given) == said


def test_a_long_text_ends() -> None:
    assert text("é" * LONGEST) == "é" * LONGEST
    assert text("é" * 10**6) == "é" * LONGEST + "…"
    assert isinstance(text("x"), Html)
