import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.stacks.docker.engine import Engine
from harness.stacks.reaper import CONTAINERS, VARIABLE, marked
from harness.stacks.workspace import Workspace, sweep


@pytest.fixture(autouse=True)
def own_root(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def child(token: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env={VARIABLE: token})


def test_closing_ends_every_process_with_the_token_and_removes_the_folder() -> None:
    workspace = Workspace()
    (workspace.folder / "data").mkdir()
    one = child(workspace.token)
    assert marked(workspace.token) == [one.pid]
    workspace.close()
    assert one.wait(20) == -9
    assert not workspace.folder.exists()


def test_processes_of_another_stack_are_left_alone() -> None:
    workspace, other = Workspace(), Workspace()
    one = child(other.token)
    workspace.close()
    assert one.poll() is None
    other.close()
    assert one.wait(20) == -9


def test_a_sweep_ends_what_a_dead_harness_and_reaper_left(tmp_path) -> None:
    root = tmp_path / "stacks"
    (root / "deadbeef").mkdir(parents=True)
    (root / "deadbeef" / "lock").touch()
    one = child("deadbeef")
    sweep(root)
    assert one.wait(20) == -9
    assert not (root / "deadbeef").exists()


def test_a_sweep_leaves_a_living_stack_alone(tmp_path) -> None:
    root = tmp_path / "stacks"
    (root / "cafe").mkdir(parents=True)
    with (root / "cafe" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sweep(root)
    assert (root / "cafe").exists()


def test_a_new_workspace_sweeps(tmp_path) -> None:
    left = Path(tmp_path) / f"oneffect-{os.getuid()}" / "old"
    left.mkdir(parents=True)
    (left / "lock").touch()
    workspace = Workspace()
    assert not left.exists()
    workspace.close()


def test_a_file_of_containers_that_was_never_filled_stops_no_start(tmp_path) -> None:
    root = tmp_path / "stacks"
    (root / "deadbeef").mkdir(parents=True)
    for name in ("lock", CONTAINERS):
        (root / "deadbeef" / name).touch()
    sweep(root)
    assert not (root / "deadbeef").exists()


def test_what_tells_of_containers_is_there_whole_or_not_at_all(tmp_path, monkeypatch) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\ncase $1 in version) echo 20.10;; info) echo linux $(uname -r) $(uname -n);; esac\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    engine, folder = Engine(), tmp_path / "stack"
    folder.mkdir()

    def full(path: Path, text: str) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="full"):
            engine.entrust(folder)
    assert not (folder / CONTAINERS).exists()
    engine.entrust(folder)
    assert (folder / CONTAINERS).read_text().splitlines()[0] == str(docker)
    assert [path.name for path in folder.iterdir()] == [CONTAINERS]


@pytest.mark.parametrize(("script", "stays"), [("exit 1", True), ("exit 0", False)], ids=["no answer", "none left"])
def test_what_tells_of_containers_stays_until_they_are_gone(tmp_path, script, stays) -> None:
    root = tmp_path / "stacks"
    folder = root / "deadbeef"
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\n{script}\n")
    docker.chmod(0o755)
    (folder / CONTAINERS).write_text(str(docker))
    sweep(root)
    assert folder.exists() == stays
