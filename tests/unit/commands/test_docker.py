"""Whatever is wrong with Docker: one clear message, exit 4, nothing started. The docker command here is made up."""

from pathlib import Path

import pytest

SYSTEM = """
oneffect: 1
name: small
dependencies: {kafka: {topics: {orders: 2}}}
services: {shop: {image: "shop:3", env: {PORT: "{port}", KAFKA: "{kafka}"}}}
load: {upload: {to: shop, post: /orders}}
events: {id: /id, type: /type, topics: [orders]}
"""
OWN = 'linux "$(uname -r)" "$(uname -n)" "[name=seccomp,profile=default]"'


def answers(info: str = OWN, at: str = "unix:///there") -> str:
    """An engine that says this of itself."""
    return f"case $1 in version) echo 20.10.24+dfsg1;; info) echo {info};; context) echo {at};; esac"


ANSWERS = answers()

CASES = {
    "no command": (None, ["no docker command on PATH", "install Docker", "--stack native"]),
    "no engine": (
        "echo 'Cannot connect to the Docker daemon at unix:///there. Is it running?' >&2; exit 1",
        ["Cannot connect to the Docker daemon at unix:///there", "start an engine", "--stack native"],
    ),
    "an engine too old": ("echo 19.03.15", ["the engine is 19.03.15", "20.10 or newer", "upgrade"]),
    "an engine of no version": ("echo nightly", ["the engine is nightly", "20.10 or newer"]),
    "an engine that hangs": ("exec sleep 60", ["no answer within 0.5 s", "start an engine"]),
    "an engine on another machine": (
        answers('linux 1.2.3 "$(uname -n)" "[]"'),
        ["on another machine or in a virtual one (linux 1.2.3, here ", "--stack native"],
    ),
    "an engine on a machine of the same kind": (
        answers('linux "$(uname -r)" other "[]"', "tcp://me:hush@other:2376"),
        ["the engine at tcp://***@other:2376 is on another machine (other, here "],
    ),
    "an engine of Windows": (answers("windows 10.0 here []"), ["another machine or in a virtual one (windows 10.0"]),
    "a rootless engine": (
        answers(OWN.replace("seccomp,profile=default", "seccomp,profile=default name=rootless")),
        ["the engine is rootless", "use a local engine"],
    ),
    "a missing image": (
        f"{ANSWERS}; case $5 in shop:3) echo Error: No such image: $5 >&2; exit 1;; esac",
        ["the image shop:3 is not here", "docker pull shop:3"],
    ),
    "an image that cannot be asked for": (
        f"{ANSWERS}; case $1 in image) echo the disk is full >&2; exit 1;; esac",
        ["docker image: the disk is full"],
    ),
}


@pytest.fixture
def made_up(project: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a docker command of these words on PATH, which also notes what it was asked; None: there is none."""
    (project / "system.yaml").write_text(SYSTEM)
    (project / "one.yaml").write_text(
        "oneffect: 1\nname: one\nsystem: system.yaml\nload: {uploads: 40, rate: 20/s}\n"
    )
    monkeypatch.setattr("harness.stacks.docker.engine._TIMEOUT", 0.5)

    def put(script: str | None) -> None:
        folder = project / "bin"
        folder.mkdir()
        if script is not None:
            (folder / "docker").write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\necho $* >> {project}/asked\n{script}\n")
            (folder / "docker").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return put


@pytest.mark.parametrize("case", CASES)
def test_one_message_and_nothing_is_started(project: Path, made_up, say, case: str) -> None:
    script, words = CASES[case]
    made_up(script)
    said = say("run", "one.yaml", "--stack", "docker")
    assert said.exit_code == 4, said.stderr
    (message,) = [line for line in said.stderr.splitlines() if line.startswith("oneffect: ")]
    assert said.stderr.strip().endswith(message)
    assert "Traceback" not in said.stderr
    for word in words:
        assert word in message
    asked = (project / "asked").read_text().split("\n") if script is not None else []
    assert not [words for words in asked if words.startswith(("create", "start", "run"))]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no command", ["docker engine", "no docker command on PATH", "install Docker"]),
        ("an engine too old", ["the engine is 19.03.15", "upgrade"]),
    ],
)
def test_the_doctor_says_so(made_up, say, case: str, words: list[str]) -> None:
    made_up(CASES[case][0])
    said = say("doctor").stdout
    for word in words:
        assert word in said


def test_the_doctor_says_which_image_is_missing(made_up, say) -> None:
    made_up(f"{ANSWERS}; case $5 in redis*) echo Error: No such image: $5 >&2; exit 1;; esac")
    said = say("doctor").stdout
    assert "20.10.24" in said
    assert "docker pull redis:7-alpine" in said
    assert "docker pull postgres" not in said


def test_the_gate_runs_there_too(project: Path, made_up, say) -> None:
    made_up(None)
    (project / "one.yaml").write_text((project / "one.yaml").read_text() + "tags: [gate]\n")
    said = say("gate", "one.yaml", "--stack", "docker")
    assert said.exit_code == 4
    assert "no docker command on PATH" in said.stdout + said.stderr
