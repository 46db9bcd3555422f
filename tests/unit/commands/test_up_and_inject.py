"""What is wrong with the words of ``up`` and ``inject``: one clear message each, and nothing started."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.announcement import Announcement, Announcer

INJECT = ("inject", "net.down", "--on", "ledger#1->redis", "--for", "1s")

UP = {
    "no such file": (["--system", "nowhere.yaml"], 2, "nowhere.yaml: there is no such file"),
    "no such variant": (["--variant", "setnx"], 2, "setnx_only"),
    "no such stack": (["--stack", "natvie"], 2, "nearest: native"),
    "a seed that is none": (["--seed", "-1"], 2, "--seed"),
}


@pytest.mark.parametrize(("words", "code", "said"), UP.values(), ids=UP)
def test_up_refuses(project: Path, say, words, code, said) -> None:
    done = say("up", *words)
    assert done.exit_code == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / ".oneffect" / "up.json").exists()


def test_up_needs_a_system(tmp_path: Path, say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = say("up")
    assert (done.exit_code, "--system FILE" in done.stderr) == (2, True)


def test_up_is_up_once_in_a_folder(project: Path, say) -> None:
    with Announcer(project):
        done = say("up")
    assert done.exit_code == 4
    assert f"process {os.getpid()}" in done.stderr
    assert not list((project / ".oneffect" / "runs").iterdir())


def test_inject_needs_something_that_is_up(project: Path, say) -> None:
    done = say(*INJECT)
    assert done.exit_code == 4
    assert (
        done.stderr
        == "oneffect: no stack is up in this folder or above; start one in another terminal: oneffect up\n"
    )


@pytest.mark.parametrize(
    ("word", "said"), [("latency", "KEY=VALUE"), ("=3", "KEY=VALUE"), ("a=[", "not YAML"), ("a=!!x y", "tag")]
)
def test_a_parameter_that_is_none_is_refused(project: Path, say, word: str, said: str) -> None:
    done = say(*INJECT, word)
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_a_parameter_twice_is_refused(project: Path, say) -> None:
    assert "twice" in say(*INJECT, "a=1", "a=2").stderr


@pytest.fixture
def answering(project: Path) -> Iterator[dict]:
    """Something is up that answers with ``lines``; ``asked`` is what it was asked."""
    talk: dict = {"lines": []}
    with Announcer(project) as announcer, announcer.listening() as listener:
        told = {"run": "r1", "pid": 1, "stack": "native", "system": "s", "socket": announcer.address}
        announcer.announce(Announcement.model_validate({**told, "services": {}, "dependencies": {}, "links": {}}))

        def answer() -> None:
            with listener.accept()[0] as other, other.makefile("rb") as asked:
                talk["asked"] = json.loads(asked.readline())
                other.sendall(b"".join(json.dumps(line).encode() + b"\n" for line in talk["lines"]))
                other.shutdown(socket.SHUT_WR)
                while asked.read(1):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        yield talk
        thread.join(20)


def done(**more: object) -> dict:
    one = {"id": "f1", "name": "net.down", "target": "x", "heals": True, "healed": True, "bit": True, "failed": False}
    return {"done": [one | more]}


def test_what_is_asked_and_what_comes_back(answering: dict, say) -> None:
    answering["lines"] = [{"told": "f1 began\x1b[31m"}, done()]
    said = say(*INJECT, "latency=20ms", "count=3", "off=[kafka, redis]", "deep=true")
    assert said.exit_code == 0
    parameters = {"latency": "20ms", "count": 3, "off": ["kafka", "redis"], "deep": True}
    assert answering["asked"] == {
        "fault": "net.down",
        "on": "ledger#1->redis",
        "for": "1s",
        "parameters": parameters,
    }
    assert said.stdout == "f1 began\\x1b[31m\nnet.down on x: healed; bit\n"


ENDS = {
    "never bit": ([done(bit=False)], 0, "never bit"),
    "failed": ([done(failed=True)], 4, "failed"),
    "ended before its turn": ([done(healed=False, bit=False)], 0, "nothing was done"),
    "refused": ([{"refused": "no such link", "exit": 2}], 2, "oneffect: no such link"),
    "could not be done": ([{"refused": "it is gone", "exit": 4}], 4, "oneffect: it is gone"),
    "the end of all": ([{"told": "f1 began"}], 4, "ended before the fault was over"),
}


@pytest.mark.parametrize(("lines", "code", "word"), ENDS.values(), ids=ENDS)
def test_how_it_ends(answering: dict, say, lines, code, word) -> None:
    answering["lines"] = lines
    said = say(*INJECT)
    assert said.exit_code == code
    assert word in said.stdout + said.stderr
