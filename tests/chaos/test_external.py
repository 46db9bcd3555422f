"""Whole runs on a stack that runs already: one that ``oneffect up`` holds, broken by commands of the test's own."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

ROOT = Path(__file__).parents[2]
ONEFFECT = str(Path(sys.executable).with_name("oneffect"))
PATIENCE = 600.0
REPLICA = "essay_lifecycle#1"
START = """
import json, subprocess, sys
name = sys.argv[1]
how = json.load(open(f"{name}.json"))
child = subprocess.Popen(how["command"], env=how["env"], cwd=how["cwd"], start_new_session=True,
    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
open(f"{name}.pid", "w").write(str(child.pid))
"""
KILL = """
import os, signal, sys
os.kill(int(open(f"{sys.argv[1]}.pid").read()), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which the reference is up, with an addresses file ``there.yaml`` that can kill one replica."""
    folder = tmp_path_factory.mktemp("standing")
    command = [ONEFFECT, "up", "--system", str(ROOT / "reference_impl" / "system.yaml")]
    with (
        (folder / "said").open("wb") as said,
        subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT) as process,
    ):
        try:
            deadline = time.monotonic() + PATIENCE
            while "\nup: run" not in (folder / "said").read_text():
                assert process.poll() is None, (folder / "said").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            write_commands(folder, psutil.Process(process.pid))
            yield folder
            process.terminate()
            process.wait(PATIENCE)
        finally:
            process.kill()


def write_commands(folder: Path, up: psutil.Process) -> None:
    addresses = yaml.safe_load((folder / ".oneffect" / "up.addresses.yaml").read_text())
    port = int(addresses["services"][REPLICA].rpartition(":")[2])
    (replica,) = [
        child
        for child in up.children()
        if any(one.laddr.port == port and one.status == "LISTEN" for one in child.net_connections())
    ]
    how = {"command": replica.cmdline(), "env": replica.environ(), "cwd": replica.cwd()}
    (folder / "essays.json").write_text(json.dumps(how))
    (folder / "essays.pid").write_text(str(replica.pid))
    for name, text in (("start.py", START), ("kill.py", KILL)):
        (folder / name).write_text(text)
    addresses["commands"] = {
        REPLICA: {name: shlex.join([sys.executable, f"{name}.py", "essays"]) for name in ("kill", "start")}
    }
    (folder / "there.yaml").write_text(yaml.safe_dump(addresses))


def run(folder: Path, *faults: str, addresses: str = "there.yaml") -> subprocess.CompletedProcess[str]:
    (folder / "one.yaml").write_text(
        f"oneffect: 1\nname: one\nsystem: {ROOT / 'reference_impl' / 'system.yaml'}\n"
        f"load: {{uploads: 60, rate: 20/s}}\nfaults: [{', '.join(faults)}]\n"
    )
    words = [ONEFFECT, "run", "one.yaml", "--addresses", addresses, "--seed", "1"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE)


def test_a_run_with_a_fault_on_a_link_and_one_by_command(standing: Path) -> None:
    """Twice, for the second must not judge what the first left."""
    for _ in range(2):
        done = run(
            standing,
            '{fault: net.hang, on: "essay_lifecycle#2->redis", at: 20%, for: 1s}',
            f'{{fault: service.kill, on: "{REPLICA}", at: 40%, for: 1s}}',
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "VALID" in done.stdout
        verdict = json.loads((standing / ".oneffect" / "runs" / "latest" / "verdict.json").read_text())
        assert [fault["name"] for fault in verdict["faults"] if "bit" in fault] == ["net.hang", "service.kill"]
        assert verdict["figures"]["acknowledged"] >= 60
        assert verdict["again"].endswith("--addresses there.yaml")


def test_a_fault_without_a_command_is_refused(standing: Path) -> None:
    done = run(standing, '{fault: service.kill, on: "essay_lifecycle#2", at: 40%, for: 1s}')
    assert done.returncode == 2
    assert "service.kill on essay_lifecycle#2" in done.stderr
    assert "commands: {essay_lifecycle#2: {kill: …}}" in done.stderr


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (("dependencies", "redis"), "127.0.0.1:1", "redis does not answer"),
        (("services", "spell_checker#1"), "127.0.0.1:1", "spell_checker#1 does not answer"),
        (("links", "essay_lifecycle#1->redis", "api"), "127.0.0.1:1", "Toxiproxy at 127.0.0.1:1 does not answer"),
        (("links", "essay_lifecycle#1->redis", "proxy"), "other", "has no proxy 'other'"),
        (("names", "topics", "essays"), "elsewhere", "elsewhere (4)"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_what_is_not_there_is_said(standing: Path, field: tuple[str, ...], value: str, said: str) -> None:
    addresses = yaml.safe_load((standing / "there.yaml").read_text())
    at = addresses
    for key in field[:-1]:
        at = at[key]
    at[field[-1]] = value
    (standing / "off.yaml").write_text(yaml.safe_dump(addresses))
    done = run(standing, addresses="off.yaml")
    assert (done.returncode, said in done.stderr) == (4, True), done.stderr
    assert "Traceback" not in done.stderr
