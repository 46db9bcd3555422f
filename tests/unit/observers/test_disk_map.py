"""A mapping on disk does what a dict does."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import FileError
from harness.observers import disk_map as module
from harness.observers.disk_map import DiskMap


@pytest.fixture
def disk_map() -> Iterator[DiskMap]:
    made = DiskMap()
    yield made
    made.close()


@given(
    st.lists(st.tuples(st.text(st.characters(exclude_categories=[]), max_size=3), st.none() | st.binary(max_size=2)))
)
def test_it_keeps_what_a_dict_does(pairs: list[tuple[str, bytes | None]]) -> None:
    disk_map, expected = DiskMap(), dict[str, bytes | None]()
    for key, value in pairs:
        disk_map.keep(key, value)
        expected[key] = expected.get(key) if value is None else value
    assert set(disk_map) == set(expected)
    assert len(list(disk_map)) == len(expected)
    assert {key: disk_map.get(key) for key in disk_map} == expected
    assert all(key in disk_map for key in expected)
    disk_map.close()


def test_what_is_not_there_is_not(disk_map: DiskMap) -> None:
    disk_map.keep("a", b"1")
    assert "b" not in disk_map
    assert disk_map.get("b") is None


def test_some_may_come_while_it_is_gone_through(disk_map: DiskMap) -> None:
    for number in range(2 * module._PAGE):
        disk_map.keep(f"{number:04d}")
    seen = []
    for key in disk_map:
        seen.append(key)
        if key == "0000":
            disk_map.keep("9999")
    assert seen == [f"{number:04d}" for number in range(2 * module._PAGE)] + ["9999"]


def test_a_full_disk_is_told_of(disk_map: DiskMap) -> None:
    disk_map._db.execute("PRAGMA max_page_count = 3")
    full = pytest.raises(FileError, match="cannot write a temporary file: database or disk is full; make room")
    with full:
        disk_map.keep("x" * 100_000)
