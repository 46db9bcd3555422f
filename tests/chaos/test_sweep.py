"""A sweep on the real stack finds the message at which a wrong variant loses."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ONEFFECT = str(Path(sys.executable).with_name("oneffect"))


def test_the_message_at_which_a_claim_loses_is_found(tmp_path: Path) -> None:
    words = ["sweep", str(ROOT / "scenarios" / "crash-at-claim.yaml"), "--service", "essay_lifecycle", "--seed", "1"]
    command = [ONEFFECT, *words, "--variant", "setnx_only", "--only", "SET *"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 1, done.stdout + done.stderr
    (path,) = (tmp_path / ".oneffect" / "sweeps").glob("*/map.json")
    claims = json.loads(path.read_text())["messages"][0]["cells"]
    # Of the others nothing can be said: a death before one event's claim may lose another, which was claimed already.
    assert claims["killed after"]["verdict"] == "invalid", done.stdout
    assert "lost" in claims["killed after"]["anomalies"]
    assert "unknown" not in {cell["verdict"] for cell in claims.values()}, done.stdout
