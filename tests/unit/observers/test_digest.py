"""The digest of an event's data."""

import hashlib

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from harness.observers.digest import _canonical, _in_full, digest, digests


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
    assert _canonical(data, _in_full) == rfc8785.dumps(data)  # type: ignore[arg-type]
    assert digests(data)[1] is None


@pytest.mark.parametrize(
    ("number", "double"),
    [
        (1234567890123456789, "1234567890123456800"),
        (-(2**60) - 1, "-1152921504606847000"),
        (2**53 + 1, "9007199254740992"),
        (10**21 + 1, "1e+21"),
    ],
)
def test_the_standard_rounds_such_an_integer_to_a_double(number: int, double: str) -> None:
    assert digests({"of": [{"n": number}, 7]})[1] == sha256(f'{{"of":[{{"n":{double}}},7]}}')


def test_only_what_rounding_changes_has_a_second_digest() -> None:
    assert digests({"n": 2**53})[1] is None
    assert digests({"n": 10**20})[1] is None
    assert digests({"n": 10**400})[1] is None  # no double is near
