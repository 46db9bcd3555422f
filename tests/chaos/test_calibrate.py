"""Calibrations of systems that share no code with the reference and cannot see everything, and a run after one."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOREIGN = Path(__file__).parent / "foreign"
REFERENCE = Path(__file__).parents[2] / "reference_impl"
ONEFFECT = str(Path(sys.executable).with_name("oneffect"))
PATIENCE = 600.0
PROGRAMS = {"shop": "shop.py", "billing": "ledger.py", "printer": "ledger.py", "purse": "ledger.py"}
HIDES = "SELECT order_number AS id, min(number) AS effect FROM bills GROUP BY order_number"
"""However often an order is billed, this query gives one row."""


def system(folder: Path, extends: str, flaw: str = "", effects: dict[str, Any] | None = None) -> None:
    """A system file, for which the working directory is the folder."""
    services = ["shop"] if extends == "system.yaml" else list(PROGRAMS)
    (folder / "system.yaml").write_text(
        json.dumps(
            {
                "extends": os.path.relpath(FOREIGN / extends, folder),
                "services": {
                    name: {
                        "command": shlex.join(["python", str(FOREIGN / PROGRAMS[name])]),
                        "env": {"FLAW": flaw if name == "shop" else ""},
                    }
                    for name in services
                },
                "effects": effects or {},
            }
        )
    )


def oneffect(folder: Path, *words: str) -> tuple[int, str]:
    words = (ONEFFECT, *words, "--system", "system.yaml", "--out", "runs", "--seed", "1")
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE)
    return done.returncode, done.stdout + done.stderr


def answers(folder: Path) -> dict[tuple[str, str], str]:
    told = json.loads((folder / "system.calibration.json").read_text())["told"]
    return {(one["of"], one["control"]): one["answer"] for one in told}


def test_what_a_query_hides_cannot_be_seen_and_no_run_is_valid(tmp_path: Path) -> None:
    system(tmp_path, "system.ledger.yaml", effects={"billing": {"sql": {"query": HIDES}}})
    status, said = oneffect(tmp_path, "calibrate")
    assert status == 3, said
    told = answers(tmp_path)
    assert {one for one, answer in told.items() if answer == "unseen"} == {("billing", "duplicate")}, said
    seen = {one for one, answer in told.items() if answer == "seen"}
    countable = ("shop", "billing", "printer")
    assert {(name, control) for name in countable for control in ("lost", "held_back", "two_ids")} <= seen, said
    assert {("shop", "duplicate"), ("printer", "duplicate"), ("purse", "total")} <= seen, said

    (tmp_path / "none.yaml").write_text("oneffect: 1\nname: none\nload: {uploads: 30, rate: 20/s, rejected: 0%}\n")
    status, said = oneffect(tmp_path, "run", "none.yaml")
    assert status == 3, said
    assert "cannot_be_seen  billing: `oneffect calibrate` planted duplicate" in said
    (latest,) = (tmp_path / "runs" / "latest").resolve().parent.glob("*-none-*")
    again = subprocess.run([ONEFFECT, "check", str(latest)], capture_output=True, text=True, check=False)
    assert again.returncode == 3, again.stdout
    assert "cannot_be_seen" in again.stdout


@pytest.mark.long
def test_on_postgres_tables_are_copied_for_one_connection_alone(tmp_path: Path) -> None:
    gone = dict.fromkeys(("batch_orchestrator", "spell_checker", "cj_assessment"))
    (tmp_path / "system.yaml").write_text(
        json.dumps(
            {
                "extends": os.path.relpath(REFERENCE / "system.postgres.yaml", tmp_path),
                "services": gone,
                "events": {"topics": ["essays"]},
                "outcomes": None,
                "effects": gone,
            }
        )
    )
    status, said = oneffect(tmp_path, "calibrate")
    assert status == 0, said
    assert set(answers(tmp_path).values()) == {"seen"}, said
    assert ("essay_lifecycle", "duplicate") in answers(tmp_path)


@pytest.mark.long
def test_what_a_second_effect_overwrites_cannot_be_told_apart(tmp_path: Path) -> None:
    system(tmp_path, "system.yaml", flaw="named_by_order")
    status, said = oneffect(tmp_path, "calibrate")
    assert status == 3, said
    told = answers(tmp_path)
    assert told["shop", "duplicate"] == told["shop", "two_ids"] == "unseen", said
    assert told["shop", "lost"] == told["shop", "held_back"] == "seen", said
