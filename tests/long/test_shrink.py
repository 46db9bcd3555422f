"""A storm on the real stack, on a wrong variant, becomes one line that breaks again."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.files import load
from harness.scenario import Scenario

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
ONEFFECT = str(Path(sys.executable).with_name("oneffect"))
PATIENCE = 600.0

# Of these only the death breaks the variant, and each time: it comes between the claim and the effect.
CLAIM = '{reply: ["SET *", "EVAL *"], on: "essay_lifecycle#1->redis"}'
STORM = f"""
oneffect: 1
name: storm
system: {ROOT / "reference_impl" / "system.lifecycle.yaml"}
load: {{uploads: 40, rate: 20/s, rejected: 20%}}
faults:
  - {{fault: net.latency, on: "*->kafka", at: 10%, for: 1s, latency: 20ms, jitter: 10ms}}
  - {{fault: service.kill, on: essay_lifecycle#1, when: {CLAIM}, for: 400ms}}
  - {{fault: net.latency, on: "file_service->content_service", at: 30%, for: 1s, latency: 40ms}}
  - {{fault: kafka.malformed, on: essays, at: 80%, count: 2}}
expect: valid
variants: {{setnx_only: {{verdict: invalid, find: [lost]}}}}
"""


def oneffect(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ONEFFECT, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE)


def test_a_storm_becomes_one_line_that_breaks_again(tmp_path: Path) -> None:
    path, runs = tmp_path / "storm.yaml", tmp_path / "runs"
    path.write_text(STORM)
    broken = oneffect("run", str(path), "--variant", "setnx_only", "--seed", "1", "--out", str(runs))
    assert broken.returncode == 1, broken.stdout + broken.stderr
    directory = (runs / "latest").resolve()

    # Interrupted by its budget, then to the end.
    begun = oneffect("shrink", str(directory), "--runs", "1", "--budget", "0s")
    assert begun.returncode == 0, begun.stdout + begun.stderr
    assert "the budget is over; go on: oneffect shrink" in begun.stdout
    done = oneffect("shrink", str(directory), "--runs", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"going on from 2 runs in .*shrink\.json", done.stdout)
    assert re.search(r"1 fault for \d+ms, \d+ uploads; the whole: 4 faults", done.stdout)
    assert "lost in 1 of 1 runs after the search" in done.stdout

    smallest = directory / "smallest.yaml"
    assert [row.fault for row in load(smallest, Scenario).faults] == ["service.kill"]
    again = oneffect("run", str(smallest), "--variant", "setnx_only", "--seed", "2", "--out", str(runs))
    assert again.returncode == 1, again.stdout + again.stderr
    assert "lost" in again.stdout
