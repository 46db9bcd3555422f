"""The digest of an event's data."""

import hashlib

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from harness.observers.digest import _canonical, digest


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_it_is_of_the_canonical_json() -> None:
    assert digest({"b": 1.0, "a": "ö"}) == sha256('{"a":"ö","b":1}')


@pytest.mark.parametrize("number", [2**53, 2**60, 2**64, 2**64 + 1, -(2**70), 10**40])
def test_an_integer_beyond_the_standard_is_written_in_full(number: int) -> None:
    data = {"n": number, "\U0001f600": 1.0, "\ufb33": [True, None, "ö\n", 1e21, -0.0]}
    assert digest(data) == sha256(f'{{"n":{number},"\U0001f600":1,"\ufb33":[true,null,"ö\\n",1e+21,0]}}')
    assert digest({"n": number}) != digest({"n": number + 1})


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_without_such_integers_it_is_what_the_standard_says(data: object) -> None:
    assert _canonical(data) == rfc8785.dumps(data)  # type: ignore[arg-type]
