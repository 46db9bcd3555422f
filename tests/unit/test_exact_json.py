"""JSON whose integers keep every digit."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.exact_json import dumps, loads, text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_read_again(value: object) -> None:
    assert loads(dumps(value)) == loads(dumps(value).encode()) == value


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 2**64 + 1, 10**30])
def test_an_integer_keeps_every_digit(number: int) -> None:
    assert loads(str(number)) == number
    assert text(number) == str(number)
    assert dumps({"b": [number], "a": 1}, sort=True) == f'{{"a":1,"b":[{number}]}}'


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"NaN", b'"\\ud800"', b"1e400", b"9" * 5000, b"\xef\xbb\xbf1", b'[1,"\xff"]']
)
@pytest.mark.parametrize("beside", [b"", b"12345678901234567890"])
def test_what_orjson_does_not_read_is_not_read(raw: bytes, beside: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        loads(b"[" + raw + (b"," + beside if beside else b",") + b"]")


def test_what_is_nested_too_deeply_to_be_read_exactly_is_an_error() -> None:
    deep = b"[" * 1000 + b"]" * 1000
    assert loads(deep)
    with pytest.raises(ValueError, match="nested too deeply"):
        loads(b"[" * 1000 + b"12345678901234567890" + b"]" * 1000)


@pytest.mark.parametrize("value", [{1, 2}, [float], "\ud800", ["\ud800"]])
def test_what_is_no_json_is_not_written(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        dumps(value)
