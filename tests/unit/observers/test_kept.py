"""A mapping on disk does what a dict does."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import FileError
from harness.observers import kept as module
from harness.observers.kept import Kept


@pytest.fixture
def kept() -> Iterator[Kept]:
    made = Kept()
    yield made
    made.close()


@given(
    st.lists(st.tuples(st.text(st.characters(exclude_categories=[]), max_size=3), st.none() | st.binary(max_size=2)))
)
def test_it_keeps_what_a_dict_does(pairs: list[tuple[str, bytes | None]]) -> None:
    kept, expected = Kept(), dict[str, bytes | None]()
    for key, value in pairs:
        kept.keep(key, value)
        expected[key] = expected.get(key) if value is None else value
    assert set(kept) == set(expected)
    assert len(list(kept)) == len(expected)
    assert {key: kept.get(key) for key in kept} == expected
    assert all(key in kept for key in expected)
    kept.close()


def test_what_is_not_there_is_not(kept: Kept) -> None:
    kept.keep("a", b"1")
    assert "b" not in kept
    assert kept.get("b") is None


def test_some_may_come_while_it_is_gone_through(kept: Kept) -> None:
    for number in range(2 * module._PAGE):
        kept.keep(f"{number:04d}")
    seen = []
    for key in kept:
        seen.append(key)
        if key == "0000":
            kept.keep("9999")
    assert seen == [f"{number:04d}" for number in range(2 * module._PAGE)] + ["9999"]


def test_a_full_disk_is_told_of(kept: Kept) -> None:
    kept._db.execute("PRAGMA max_page_count = 3")
    full = pytest.raises(FileError, match="no temporary file can be written: database or disk is full; make room")
    with full:
        kept.keep("x" * 100_000)
