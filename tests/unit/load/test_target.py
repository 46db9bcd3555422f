"""Where a Locust process uploads to: what the environment names, else what is up here or above."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from harness.announcement import Announcer
from harness.errors import FileError, UsageError
from harness.load.target import VARIABLE, find_target

TARGET = {"run": "r1", "front_door": "http://127.0.0.1:1/v1/files", "upload": {"to": "front", "post": "/v1/files"}}

TOLD = orjson.dumps({**TARGET, "format": 1, "pid": 7, "services": {}})


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Path]:
    """The up.json of what is up here."""
    with Announcer(tmp_path):
        path = tmp_path / ".oneffect" / "up.json"
        path.write_bytes(TOLD)
        yield path


@pytest.mark.usefixtures("up")
def test_the_environment_comes_first(tmp_path: Path) -> None:
    named = tmp_path / "target.json"
    named.write_bytes(orjson.dumps({**TARGET, "run": "r2", "parts": str(tmp_path / "p")}))
    target = find_target({VARIABLE: str(named)}, tmp_path)
    assert (target.run, target.parts) == ("r2", tmp_path / "p")


@pytest.mark.usefixtures("up")
def test_else_what_is_up_in_a_folder_above(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    target = find_target({}, tmp_path / "a" / "b")
    assert (target.run, target.parts) == ("r1", tmp_path / ".oneffect" / "parts" / "r1")


@pytest.mark.usefixtures("up")
def test_what_was_killed_is_not_up(tmp_path: Path) -> None:
    """Its file stays; what is up above counts."""
    dead = tmp_path / "a" / ".oneffect"
    dead.mkdir(parents=True)
    (dead / "up.json").write_bytes(TOLD.replace(b"r1", b"r0"))
    (dead / "up.lock").touch()
    assert find_target({}, tmp_path / "a").run == "r1"


def test_nothing_is_up(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run `oneffect up`"):
        find_target({}, tmp_path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="name another file"):
        find_target({VARIABLE: str(tmp_path / "none.json")}, tmp_path)


def test_a_front_door_is_missing(tmp_path: Path, up: Path) -> None:
    up.write_bytes(orjson.dumps({**TARGET, "front_door": None}))
    with pytest.raises(FileError, match="front_door"):
        find_target({}, tmp_path)


def test_a_load_that_publishes_has_no_front_door(tmp_path: Path, up: Path) -> None:
    up.write_bytes(orjson.dumps({**orjson.loads(TOLD), "front_door": None, "upload": None}))
    with pytest.raises(UsageError, match=r"not uploaded over HTTP .* no front door; use `oneffect run`"):
        find_target({}, tmp_path)
