"""A UUID has one spelling; whatever looks like one, nothing fails."""

import re
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.observers.identity import UUID_TEXT, identity

ONE = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"


@given(st.from_regex(re.compile(UUID_TEXT, re.IGNORECASE), fullmatch=True))
@example(f"URN:UUID:{ONE.upper()}")
@example(f"Urn:Uuid:{{{ONE}")
@example(f"{{{ONE.upper()}}}")
@example(f"{ONE}}}")
@example(f"urn:uu\u0131d:{ONE}")  # a dotless i, which is an i to patterns that ignore case
def test_whatever_fits_the_pattern_has_a_spelling_that_stays(text: str) -> None:
    spelled = identity(text)
    assert identity(spelled) == spelled
    if text.isascii():
        digits = re.sub(r"(?i)urn:uuid:|[^0-9a-f]", "", text)
        assert spelled == str(UUID(digits))


@given(st.text(st.sampled_from("0123456789abcdefABCDEFurnidURNID:{}-\u0130\u0131\u017f\u0661")))
def test_no_text_fails(text: str) -> None:
    identity(text)


@pytest.mark.parametrize("prefix", ["urn:uuid:", "URN:UUID:", "Urn:uuid:"])
def test_the_prefix_may_be_in_capitals(prefix: str) -> None:
    assert identity(prefix + ONE.upper()) == ONE
