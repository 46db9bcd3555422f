"""Effects that are files: which are, and what fails a read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.effects import Files
from harness.errors import StackError
from harness.observers.folder_files import FolderFiles


def put(folder: Path, **files: str) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


async def read(folder: Path, **said: Any) -> list[Any]:
    rows: list[Any] = []
    await FolderFiles(Files(folder="x", **said), folder).each(rows.extend, everything=True)
    return [tuple(row.values()) for row in rows]


async def test_a_file_names_its_event_in_its_content_or_its_name(tmp_path: Path) -> None:
    put(tmp_path, **{"2.json": '{"e": 7, "d": "x"}', "1.json": '{"e": ["a", 1]}', ".3.json": "", "4.part": ""})
    put(tmp_path, **{"in/5.json": "{}"})
    said = {"names": "*.json", "id": "/e", "carries": "/d"}
    assert await read(tmp_path, **said) == [(["a", 1], "1.json", None), ("7", "2.json", "x")]
    assert await read(tmp_path, names="{id}.part") == [("4", "4", None)]
    assert await read(tmp_path, names="{id}.p*") == [("4", "4.part", None)]
    assert await read(tmp_path, names="in/{id}.json") == [("5", "5", None)]
    assert await read(tmp_path, names="*/{id}.json") == [("5", "in/5.json", None)]
    assert await read(tmp_path, names=".{id}.json") == [("3", "3", None)]


async def test_a_folder_may_be_a_link(tmp_path: Path) -> None:
    put(tmp_path, **{"elsewhere/1.json": "{}"})
    (tmp_path / "bills").mkdir()
    (tmp_path / "bills" / "day").symlink_to(tmp_path / "elsewhere")
    assert await read(tmp_path / "bills", names="*/{id}.json") == [("1", "day/1.json", None)]


async def test_what_cannot_be_read_is_no_empty_read(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"files: .*No such file or directory"):
        await read(tmp_path / "gone", names="{id}")
    put(tmp_path, **{"1.json": "{"})
    with pytest.raises(StackError, match=r"files: 1\.json is not JSON .*then rename it"):
        await read(tmp_path, id="/e")
    put(tmp_path, **{"1.json": "{}"})
    with pytest.raises(StackError, match=r"files: 1\.json has nothing at /e"):
        await read(tmp_path, id="/e")


async def test_a_folder_that_changes_under_the_last_read_fails_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, a="")
    source = FolderFiles(Files(folder="x", names="{id}"), tmp_path)
    rows = source._rows

    def meanwhile() -> Any:
        found = rows()
        put(tmp_path, b="")
        return found

    monkeypatch.setattr(source, "_rows", meanwhile)
    with pytest.raises(StackError, match="changed while it was read"):
        await source.each(lambda _: None, everything=True)
    await source.each(lambda _: None, everything=True)


@pytest.mark.parametrize("said", [{}, {"names": "{id}", "id": "/e"}, {"names": "{id}.{id}"}, {"names": "/x/{id}"}])
def test_the_id_is_in_one_place(said: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"write either \{id\} in names|should match pattern"):
        Files.model_validate({"folder": "x", **said})
