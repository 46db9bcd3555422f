"""The standard scenarios on a service that shares no code with the reference, and has no Redis."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

FOREIGN = Path(__file__).parent / "foreign"
ONEFFECT = str(Path(sys.executable).with_name("oneffect"))
PATIENCE = 900.0


def run(folder: Path, *words: str, flaw: str = "no_redis") -> tuple[int, str]:
    """A command on the shop without its Redis, which it never connects to; its exit status and what it said."""
    system = {
        "extends": os.path.relpath(FOREIGN / "system.yaml", folder),
        "dependencies": {"redis": None},
        "services": {
            "shop": {
                "command": shlex.join(["python", str(FOREIGN / "shop.py")]),
                "env": {"FLAW": flaw, "REDIS": "127.0.0.1:1"},
                "reads": ["orders"],
            }
        },
    }
    (folder / "system.yaml").write_text(json.dumps(system))
    words = (ONEFFECT, "run", *words, "--system", "system.yaml", "--out", "runs", "--seed", "1")
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE)
    return done.returncode, done.stdout + done.stderr


def test_a_standard_scenario_runs_without_what_the_system_lacks_and_says_so(tmp_path: Path) -> None:
    status, said = run(tmp_path, "redelivery")
    assert status == 0, said
    why = "the system has no link consumers->services"
    assert "VALID  redelivery (3 left out)  seed 1" in said
    assert f"  left out: net.latency on consumers->services: {why}" in said.splitlines()
    assert "  left out: service.kill on consumers#2: no consumer has a replica #2" in said.splitlines()
    unclaimed = "it acts at a message on consumers#1->redis: the system has no dependency of kind redis"
    assert f"  left out: service.kill on shop#1: {unclaimed}" in said.splitlines()
    assert "shop#1 died at work: the reply to OffsetCommit shop was held on shop#1->kafka" in said
    latest = tmp_path / "runs" / "latest"
    plan = json.loads((latest / "history.jsonl").read_text().partition("\n")[0])["plan"]
    verdict = json.loads((latest / "verdict.json").read_text())
    assert plan["left_out"] == verdict["left_out"]
    assert plan["left_out"][0] == {"what": "net.latency", "on": "consumers->services", "why": why}
    assert plan["roles"]["consumers#1"] == ["shop#1"]
    faults = [(fault["name"], fault["target"]) for fault in verdict["faults"] if "bit" in fault]
    assert sorted(faults) == sorted((fault["fault"], fault["target"]) for fault in plan["faults"])
    assert {target for _, target in faults} == {"orders", "shop#1", "shop"}


def test_a_scenario_about_what_the_system_lacks_is_refused(tmp_path: Path) -> None:
    status, said = run(tmp_path, "redis-outage")
    assert status == 2
    assert "redis-outage does not fit system.yaml: the system has no dependency of kind redis" in said
    assert not list((tmp_path / "runs").glob("*/history.jsonl"))


@pytest.mark.wide
def test_a_system_that_is_wrong_without_any_fault_is_told_so_and_nothing_is_broken(tmp_path: Path) -> None:
    status, said = run(tmp_path, "--all", flaw="never_subscribes")
    assert status == 1, said
    assert "system.yaml is invalid without any fault, so nothing was broken" in said
    runs = [
        path for path in (tmp_path / "runs").iterdir() if (path / "verdict.json").is_file() and not path.is_symlink()
    ]
    assert [json.loads((path / "verdict.json").read_text())["label"] for path in runs] == ["control"]
