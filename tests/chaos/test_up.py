"""``oneffect up`` and ``inject`` on the real stack, as two terminals: what is told, what bites, and that nothing is left."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

HERE = Path(__file__).parent
ONEFFECT = str(Path(sys.executable).with_name("oneffect"))
PATIENCE = 180.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project whose workers work from the start."""
    (tmp_path / "busy").touch()
    for name in ("worker.py", "peer.py"):
        (tmp_path / name).symlink_to(HERE / name)
    env = f"services: {{worker: {{env: {{BUSY: {tmp_path / 'busy'}, API_TOKEN: in-the-token}}}}}}\n"
    (tmp_path / "system.yaml").write_text(f"extends: {os.path.relpath(HERE / 'system.yaml', tmp_path)}\n{env}")
    return tmp_path


@pytest.fixture
def standing(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (
        (folder / "said").open("wb") as said,
        subprocess.Popen([ONEFFECT, "up"], cwd=folder, stdout=said, stderr=subprocess.STDOUT) as process,
    ):
        try:
            until(lambda: "\nup: run" in (folder / "said").read_text() or process.poll() is not None)
            yield process
        finally:
            process.kill()


def until(condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the condition never came"
        time.sleep(0.05)


def inject(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ONEFFECT, "inject", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def healed_once(seen: str, folder: Path, *words: str) -> str:
    """What was said of a fault that is healed early, once ``seen`` was said: on a busy machine that takes its time."""
    command = [ONEFFECT, "inject", *words, "--for", "10m"]
    said = ""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as asked:
        assert asked.stdout is not None
        for line in asked.stdout:
            if seen in line and seen not in said:
                asked.send_signal(signal.SIGINT)
            said += line
        assert asked.wait(PATIENCE) == 0, said
    return said


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_what_is_up_can_be_broken_from_another_terminal(standing: subprocess.Popen[bytes], folder: Path) -> None:
    told = json.loads((folder / ".oneffect" / "up.json").read_text())
    assert (told["pid"], told["stack"], Path(told["system"])) == (standing.pid, "native", folder / "system.yaml")
    assert set(told["services"]) == {"peer#1", "worker#1", "worker#2"}
    assert len(told["links"]) == 6
    with urllib.request.urlopen(told["front_door"], timeout=PATIENCE) as answer:
        assert answer.status == 200
    printed = (folder / "said").read_text()
    for name, address in (*told["services"].items(), *told["dependencies"].items()):
        assert any(line.split() == [name, address] for line in printed.splitlines()), name
    for name, address in told["links"].items():
        at = "http://{api}/proxies/{name}".format(**told["proxies"][name])
        assert any(line.split() == [name, address, at] for line in printed.splitlines()), name
        with urllib.request.urlopen(at, timeout=PATIENCE) as answer:
            assert json.load(answer)["listen"] == address

    down = healed_once(": bit:", folder, "net.down", "--on", "worker#1->redis")
    assert down.endswith("net.down on worker#1->redis: healed; bit\n")
    kill = healed_once(": armed:", folder, "service.kill", "--on", "worker#2")
    assert "worker#2: killed, exit status -9" in kill
    assert "ended by itself" not in (folder / "said").read_text()
    wrong = inject(folder, "net.donw", "--on", "worker#1->redis", "--for", "2s")
    assert (wrong.returncode, "nearest: net.down" in wrong.stderr) == (2, True)

    assert "healed" in healed_once(": armed:", folder, "net.hang", "--on", "worker#1->redis")

    (peer,) = [one for one in psutil.Process(standing.pid).children() if one.cmdline()[-1:] == ["peer.py"]]
    peer.kill()
    until(lambda: "peer#1 has ended by itself" in (folder / "said").read_text())
    children = psutil.Process(standing.pid).children(recursive=True)
    standing.send_signal(signal.SIGINT)
    assert standing.wait(PATIENCE) == 0
    until(lambda: not living(children))
    assert not list((folder / ".oneffect").glob("up.[js]*"))
    said = (folder / "said").read_text()
    assert down.splitlines()[0] in said
    assert "in-the-token" not in said
    (history,) = (folder / ".oneffect" / "runs").glob("*-up-*/history.jsonl")
    records = [json.loads(line) for line in history.read_text().splitlines()]
    faults = [(one["name"], one["phase"]) for one in records if one.get("op") == "fault"]
    assert faults[:4] == [("net.down", phase) for phase in ("injected", "armed", "bit", "healed")]
    assert records[-1]["phase"] == "finished"


def test_nothing_is_left_of_what_was_killed(standing: subprocess.Popen[bytes], folder: Path) -> None:
    children = psutil.Process(standing.pid).children(recursive=True)
    assert len(children) >= 8
    standing.kill()
    standing.wait(PATIENCE)
    until(lambda: not living(children))
    after = inject(folder, "net.down", "--on", "worker#1->redis", "--for", "2s")
    assert (after.returncode, "no stack is up" in after.stderr) == (4, True)
