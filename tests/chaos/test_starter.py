"""What ``oneffect init --no-front-door`` writes is valid as it stands, and invalid without its dedupe line."""

import subprocess
import sys
from pathlib import Path

import pytest

ONEFFECT = [sys.executable, "-m", "harness.cli"]


def run(folder: Path) -> str:
    words = [*ONEFFECT, "run", "delivered-again.yaml"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=600).stdout


@pytest.mark.wide
def test_a_consumer_without_a_front_door_is_valid_until_its_dedupe_line_is_deleted(tmp_path: Path) -> None:
    subprocess.run([*ONEFFECT, "init", ".", "--no-front-door"], cwd=tmp_path, check=True)
    said = run(tmp_path)
    assert "\nVALID  delivered-again" in said
    billing = tmp_path / "billing.py"
    billing.write_text(
        "".join(line for line in billing.read_text().splitlines(keepends=True) if "dedupe line" not in line)
    )
    said = run(tmp_path)
    assert "\nINVALID  delivered-again" in said
    assert "exactly one effect: duplicate" in said
