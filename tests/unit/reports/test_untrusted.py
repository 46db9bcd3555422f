"""What a terminal would act on is written out."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.reports.untrusted import shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain é 漢 😀", "plain é 漢 😀"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\nb\tc\r", r"a\x0ab\x09c\x0d"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u2028", r"\u2028"),
        ("\x9b31m", r"\x9b31m"),
        ("\udc80", r"\udc80"),
        ("\U000e0041", r"\U000e0041"),
        (5, "5"),
    ],
)
def test_control_characters(text: object, said: str) -> None:
    assert shown(text) == said


def test_lines_may_be_kept() -> None:
    assert shown("a\n\tb\r\x1b", lines=True) == "a\n\tb\\x0d\\x1b"


@given(st.text())
def test_nothing_unseen_is_left(text: str) -> None:
    assert not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in shown(text))
