"""Files that were mutated at random, from a seed: whatever comes of it, nothing but FileErrors that name the file."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.checkers.judge import checkers
from harness.errors import OneffectError
from harness.files import load, wrong
from harness.plan import misfits
from harness.reports.outlook import outlook
from harness.scenario import Scenario
from harness.system import System

ROOT = Path(__file__).parents[3]
FILES = [
    ROOT / "harness" / "starter" / "system.yaml",
    ROOT / "harness" / "starter" / "delivered-again.yaml",
    ROOT / "tests" / "chaos" / "foreign" / "system.yaml",
    ROOT / "scenarios" / "crash-at-claim.yaml",
]
EACH = 75
WORDS = [
    "{",
    "}",
    "[",
    "]",
    ": ",
    "null",
    "-1",
    "1e999",
    "~",
    "&a ",
    "*a",
    "<<: ",
    '"',
    "\u2028",
    "0x",
    "{kafka}",
    "{:}",
]


def cut(text: str, draw: random.Random) -> str:
    at = draw.randrange(len(text))
    return text[:at] + text[at + draw.randrange(1, 20) :]


def swapped(text: str, draw: random.Random) -> str:
    lines = text.splitlines()
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return "\n".join(lines)


def inserted(text: str, draw: random.Random) -> str:
    at = draw.randrange(len(text))
    return text[:at] + draw.choice(WORDS) + text[at:]


def replaced(text: str, draw: random.Random) -> str:
    words = text.split(" ")
    words[draw.randrange(len(words))] = draw.choice([*WORDS, *words])
    return " ".join(words)


WAYS: list[Callable[[str, random.Random], str]] = [cut, swapped, inserted, replaced]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_mutated_file_ends_in_a_traceback(path: Path, tmp_path: Path) -> None:
    draw, text = random.Random(path.name), path.read_text(encoding="utf-8")
    model: type[System | Scenario] = System if "system" in path.stem else Scenario
    system = load(ROOT / "reference_impl" / "system.lifecycle.yaml", System)
    file, taken = tmp_path / "one.yaml", 0
    for _ in range(EACH):
        mutated = text
        for _ in range(draw.randrange(1, 4)):
            mutated = draw.choice(WAYS)(mutated, draw)
        file.write_text(mutated, encoding="utf-8", errors="replace")
        read, errors = wrong(file, model)
        assert (read is None) == bool(errors), mutated
        assert all(str(error).startswith(str(file)) for error in errors), mutated
        if isinstance(read, System):
            assert list(outlook(read, checkers()))
        elif isinstance(read, Scenario):
            assert all(
                isinstance(error, OneffectError) for error in misfits(read, file, system, file, elsewhere=False)
            )
        taken += read is not None
    assert 0 < taken < EACH
