"""What announces a stack that is up: one at a time, to its owner alone, and no longer than the stack lives."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from harness.announcement import Announcement, Announcer, find
from harness.errors import StackError

HOLDER = """
import sys
from pathlib import Path
from harness.announcement import Announcement, Announcer
with Announcer(Path(sys.argv[1])) as announcer:
    listener = announcer.listening()
    announcer.announce(Announcement(run="r1", pid=1, stack="native", system="s", services={}, dependencies={}, links={},
        socket=announcer.address))
    print("up", flush=True)
    sys.stdin.read()
"""


def announcement(announcer: Announcer) -> Announcement:
    links = {"ledger#1->redis": "127.0.0.1:3"}
    return Announcement(
        run="r1",
        pid=os.getpid(),
        stack="native",
        system="system.yaml",
        services={"ledger#1": "127.0.0.1:1"},
        dependencies={"redis": "127.0.0.1:2"},
        links=links,
        socket=announcer.address,
    )


def test_it_is_found_from_below_while_it_is_up(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    with Announcer(tmp_path) as announcer, announcer.listening():
        told = announcement(announcer)
        announcer.announce(told)
        assert find(below) == told
        for name in ("up.json", "up.sock", "up.lock"):
            assert stat.S_IMODE((tmp_path / ".oneffect" / name).stat().st_mode) == 0o600, name
    with pytest.raises(StackError, match="oneffect up"):
        find(below)
    assert [path.name for path in (tmp_path / ".oneffect").iterdir()] == ["up.lock"]


def test_a_second_one_is_told_of_the_first(tmp_path: Path) -> None:
    with Announcer(tmp_path), pytest.raises(StackError, match=f"process {os.getpid()}"):
        Announcer(tmp_path).__enter__()
    with Announcer(tmp_path):
        pass


def test_what_a_killed_one_left_is_not_taken_for_a_living_one(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert find(tmp_path).run == "r1"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / ".oneffect" / "up.json").is_file()
    with pytest.raises(StackError, match="no stack is up"):
        find(tmp_path)
    with Announcer(tmp_path) as announcer, announcer.listening():
        assert not (tmp_path / ".oneffect" / "up.json").exists()


def test_a_long_path_is_no_obstacle_to_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    with Announcer(deep) as announcer, announcer.listening() as listener:
        announcer.announce(announcement(announcer))
        with find(deep).connected() as talk:
            talk.sendall(b"x")
            with listener.accept()[0] as other:
                assert other.recv(1) == b"x"


def test_a_socket_that_nobody_listens_at_is_said(tmp_path: Path) -> None:
    with Announcer(tmp_path) as announcer:
        announcer.listening().close()
        announcer.announce(announcement(announcer))
        with pytest.raises(StackError, match="does not answer"), find(tmp_path).connected():
            pass


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with Announcer(tmp_path):
        (tmp_path / ".oneffect" / "up.json").write_text("{")
        with pytest.raises(StackError, match=r"up\.json"):
            find(tmp_path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / ".oneffect").write_text("a file")
    with pytest.raises(StackError, match="cannot be written"):
        Announcer(tmp_path).__enter__()
