"""A sweep on the real stack finds the message at which a wrong variant loses; with two faults for one event, it doubles."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ONEFFECT = str(Path(sys.executable).with_name("oneffect"))


@pytest.mark.long
def test_the_message_at_which_a_claim_loses_is_found(tmp_path: Path) -> None:
    words = ["sweep", str(ROOT / "scenarios" / "crash-at-claim.yaml"), "--service", "essay_lifecycle", "--seed", "1"]
    command = [ONEFFECT, *words, "--variant", "setnx_only", "--only", "SET *"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 1, done.stdout + done.stderr
    (path,) = (tmp_path / ".oneffect" / "sweeps").glob("*/map.json")
    claims = json.loads(path.read_text())["messages"][0]["cells"]
    # Of the others nothing can be said: a death before one event's claim may lose another, which was claimed already.
    assert claims["killed after"]["verdict"] == "invalid", done.stdout
    assert "lost" in claims["killed after"]["anomalies"]
    assert "unknown" not in {cell["verdict"] for cell in claims.values()}, done.stdout


PAIR = f"""
oneffect: 1
name: pair
system: {ROOT / "reference_impl" / "system.lifecycle.yaml"}
load: {{uploads: 40, rate: 20/s}}
faults:
  - fault: service.kill
    on: "essay_lifecycle#1"
    when: {{request: OffsetCommit, on: "essay_lifecycle#1->kafka", nth: 2}}
    for: 500ms
  - fault: tap.lose_reply
    on: "essay_lifecycle->redis"
    when: {{reply: "SET claim:*", per_key: 1, follows: 1}}
"""


@pytest.mark.wide
def test_a_reply_that_is_lost_while_the_event_comes_again_doubles_its_effect(tmp_path: Path) -> None:
    (tmp_path / "pair.yaml").write_text(PAIR)
    words = ["run", "pair.yaml", "--variant", "setnx_only", "--seed", "1"]
    done = subprocess.run([ONEFFECT, *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 1, done.stdout + done.stderr
    directory = tmp_path / ".oneffect" / "runs" / "latest"
    document = json.loads((directory / "verdict.json").read_text())
    assert all("bit" in fault for fault in document["faults"]), done.stdout
    doubled = {
        told["id"]
        for finding in document["findings"]
        for told in finding["anomalies"].get("duplicate", {"told": []})["told"]
    }
    records = [json.loads(line) for line in (directory / "history.jsonl").read_text().splitlines()]
    (lost,) = (record["key"].rpartition(":")[2] for record in records if record.get("phase") == "lost_reply")
    assert lost in doubled, "both faults met the same event"
