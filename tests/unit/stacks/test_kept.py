"""What a stack leaves behind: files as they are, and a word about what is none."""

import os
import socket
from pathlib import Path

from harness.stacks.native.kept import copy


def test_files_and_links_are_copied_and_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "db").write_bytes(b"\0rows")
    (source / "link").symlink_to("deep/db")
    (source / "postmaster.pid").write_text("7")
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source / "s"))
        assert not copy(source, tmp_path / "run" / "data" / "services")
    left = tmp_path / "run" / "data" / "services"
    assert sorted(str(path.relative_to(left)) for path in left.rglob("*")) == ["deep", "deep/db", "link"]
    assert (left / "link").is_symlink()
    assert (left / "link").read_bytes() == b"\0rows"
    assert (source / "deep" / "db").exists(), "what was copied is removed by its owner"


def test_what_cannot_be_copied_is_said_and_the_rest_is_copied(tmp_path: Path) -> None:
    for folder in (tmp_path / "source", tmp_path / "run"):
        folder.mkdir()
        for name in ("a", "b"):
            (folder / name).symlink_to("elsewhere")
    (tmp_path / "source" / "c").touch()
    problem = copy(tmp_path / "source", tmp_path / "run")
    assert "File exists" in problem
    assert problem.endswith(", and 1 more")
    assert (tmp_path / "run" / "c").exists()


def test_a_folder_that_is_not_here_is_said(tmp_path: Path) -> None:
    assert "not on this machine's disk" in copy(tmp_path / "nowhere", tmp_path / "run")


def test_a_target_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "run").touch()
    assert copy(tmp_path / "source", tmp_path / "run" / "data").endswith(": Not a directory")
