"""Documents of the user's own, beside the generated ones or in their place."""

import asyncio
import hashlib
import os
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from harness.clients.http import Answer
from harness.errors import FileError
from harness.load import own_files
from harness.load.documents import GENERATED, TEXTS
from harness.load.front_door import FrontDoor
from harness.load.own_files import supply
from harness.load.schedule import schedule
from harness.load.uploads import Load
from harness.scenario import LoadShape
from harness.system_load import UploadLoad
from tests.unit.load.test_uploads import Door, Tape


def door(files: dict[str, Any] | None, **more: Any) -> UploadLoad:
    return UploadLoad.model_validate({"to": "shop", "post": "/orders", "files": files, **more})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {"b.txt": "två", "a.bin": "ett", "deep/c.txt": "tre", "bad/d.txt": "fyra"}.items():
        path = tmp_path / "samples" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_without_files_all_are_generated(tmp_path: Path) -> None:
    assert supply(door(None), tmp_path).kinds == GENERATED
    text = door(None, body="json", template={"text": "{text}"})
    assert supply(text, tmp_path).kinds == TEXTS


def test_they_stand_beside_the_generated_ones(folder: Path) -> None:
    supplied = supply(door({"folder": "samples", "rejected": ["bad/*"]}), folder)
    assert set(supplied.kinds.accepted) == {*GENERATED.accepted, "own:a.bin", "own:b.txt", "own:deep/c.txt"}
    assert set(supplied.kinds.rejected) == {*GENERATED.rejected, "own:bad/d.txt"}
    assert supplied.own["own:deep/c.txt"].file_name == "c.txt"
    assert supplied.own["own:deep/c.txt"].content == b"tre"
    assert [kind for kind, one in supplied.own.items() if not one.acceptable] == ["own:bad/d.txt"]


def test_or_alone(folder: Path) -> None:
    kinds = supply(door({"folder": "samples", "generated": False}), folder).kinds
    assert kinds.accepted == ("own:a.bin", "own:b.txt", "own:bad/d.txt", "own:deep/c.txt")
    assert kinds.large == kinds.rejected == ()


def test_if_none_must_be_rejected_none_is_chosen_to_be(folder: Path) -> None:
    kinds = supply(door({"folder": "samples", "generated": False}), folder).kinds
    shape = LoadShape.model_validate({"uploads": 200, "rate": "10/s", "rejected": "50%"})
    assert {planned.kind for planned in islice(schedule(shape, 1, kinds), 200)} == set(kinds.accepted)


def test_hidden_files_and_what_is_no_file_are_passed_over(folder: Path) -> None:
    (folder / "samples" / ".hidden").write_text("no")
    (folder / "samples" / ".git").mkdir()
    (folder / "samples" / ".git" / "config").write_text("no")
    os.mkfifo(folder / "samples" / "pipe")
    assert len(supply(door({"folder": "samples"}), folder).own) == 4


async def test_they_are_uploaded_as_they_are(folder: Path) -> None:
    described = door({"folder": "samples", "generated": False, "rejected": ["bad/*"]}, body="raw")
    shape = LoadShape.model_validate({"uploads": 40, "rate": "1000/s", "rejected": "30%"})
    tape, front = Tape(), Door(Answer(202))
    load = Load(shape, described, run="r1", seed=3, recorder=tape, folder=folder)
    load.open(FrontDoor(described, front, "http://front/orders"))
    await asyncio.to_thread(load.prepare)
    await load.run()
    meant = Counter(hashlib.sha256(content).hexdigest() for _, _, content, _ in front.sent)
    assert Counter(begun["sha256"] for begun in tape.begun) == meant
    assert {(begun["file_name"], begun["acceptable"]) for begun in tape.begun} == {
        ("a.bin", True),
        ("b.txt", True),
        ("c.txt", True),
        ("d.txt", False),
    }


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"folder": "none"}, "cannot be read: No such file or directory; correct `files.folder`"),
        ({"folder": "samples/b.txt"}, "Not a directory"),
        ({"folder": "empty"}, "there is no file in it"),
        ({"folder": "samples", "rejected": ["*.pdf"]}, "files.rejected: no file in it matches *.pdf"),
        ({"folder": "samples", "rejected": ["*"], "generated": False}, "no file but those of `files.rejected`"),
    ],
)
def test_a_folder_that_will_not_do_is_refused(folder: Path, files: dict[str, Any], said: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(FileError) as refused:
        supply(door(files), folder)
    assert said in str(refused.value)


def test_too_much_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_files, "MOST_FILES", 3)
    with pytest.raises(FileError, match="more than 3 files"):
        supply(door({"folder": "samples"}), folder)
    monkeypatch.undo()
    monkeypatch.setattr(own_files, "MOST_BYTES", 13)
    with pytest.raises(FileError, match="MiB in all"):
        supply(door({"folder": "samples"}), folder)
    monkeypatch.setattr(own_files, "MOST_BYTES", 14)
    assert len(supply(door({"folder": "samples"}), folder).own) == 4


def test_where_text_is_needed_text_it_must_be(folder: Path) -> None:
    (folder / "samples" / "z.bin").write_bytes(b"ab\xff")
    template = {"body": "json", "template": {"text": "{text}"}}
    with pytest.raises(FileError, match=r"z\.bin: is not text in UTF-8 \(byte 2\)"):
        supply(door({"folder": "samples"}, **template), folder)
    assert len(supply(door({"folder": "samples"}), folder).own) == 5


def test_what_cannot_be_read_is_refused(folder: Path) -> None:
    (folder / "samples" / "gone").symlink_to(folder / "nowhere")
    with pytest.raises(FileError, match="gone: cannot be read: No such file"):
        supply(door({"folder": "samples"}), folder)


def test_a_name_that_is_no_text_is_refused(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder / "samples") + b"/\xff.txt")).write_text("x")
    with pytest.raises(FileError, match="its name is not valid UTF-8"):
        supply(door({"folder": "samples"}), folder)


def test_a_template_without_a_document_takes_no_files() -> None:
    with pytest.raises(ValueError, match="files: the template holds no document"):
        door({"folder": "samples"}, body="json", template={"id": "{id}"})
