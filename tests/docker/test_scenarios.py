"""The scenarios of the native stack on the docker stack: the same verdicts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["network"], 0),
        (["pipeline-redelivery"], 0),
        (["redis-outage", "--variant", "setnx_only"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_verdict_is_the_same(tmp_path: Path, words: list[str], status: int) -> None:
    command = [
        str(Path(sys.executable).with_name("oneffect")),
        "run",
        *words,
        "--stack",
        "docker",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == status, done.stdout + done.stderr
    verdict = json.loads((tmp_path / "latest" / "verdict.json").read_text())
    assert all("bit" in fault for fault in verdict["faults"])
    assert verdict["versions"]["docker"]
    found = {name for finding in verdict["findings"] for name in finding["anomalies"]}
    assert bool(found & {"lost", "duplicate"}) == bool(status), found
