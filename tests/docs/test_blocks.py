"""Code blocks in the documents run: commands with their exit status, files through the models that read them.

The ``sh apart`` blocks of a page share an empty folder, in the page's order; the others run in this tree. The lines of a
``text shown`` block are in the output of the block before it; ``…`` stands for anything.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from harness.addresses import Addresses
from harness.files import load
from harness.scenario import Scenario
from harness.system import System
from tests.docs.pages import EXTENDING, ROOT, Block, blocks, pattern

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "examples").glob("*/README.md")),
]
ELSEWHERE = {*(ROOT / "docs" / "reference").iterdir(), *EXTENDING}
"""Generated pages, and the pages that test_extending.py follows."""

WIDE = {
    *("docs/how-to/act-at-one-message.md", "docs/how-to/load.md", "docs/how-to/shrink.md"),
    "docs/tutorial/first-run.md",
}
"""Pages whose commands take minutes."""


def of(language: str) -> list[Block]:
    return [one for page in PAGES if page not in ELSEWHERE for one in blocks(page) if one.language == language]


def _command(block: Block) -> Any:
    wide = block.page in WIDE or "postgres" in block.text
    return pytest.param(block, marks=[pytest.mark.wide] if wide else [])


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``apart(page)``: an empty folder for the page's blocks."""
    return cache(lambda page: tmp_path_factory.mktemp(Path(page).stem))


def shown(block: Block) -> list[str]:
    """The lines that a block's output must have."""
    here = list(blocks(ROOT / block.page))
    after = here[here.index(block) + 1 :][:1]
    return [line for each in after if each.words == "shown" for line in each.text.splitlines()]


@pytest.mark.parametrize("block", [_command(one) for one in of("sh")], ids=str)
def test_commands(block: Block, apart: Callable[[str], Path]) -> None:
    expected = int(block.words.partition("exit=")[2] or 0)
    cwd = apart(block.page) if "apart" in block.words.split() else ROOT
    said = ""
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        if words[0] == "make":
            # Making the whole from within the whole would not end: that the target is there is what can be shown.
            makefile = (ROOT / "Makefile").read_text()
            assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in words[1:]), line
            continue
        own = Path(sys.executable).with_name(words[0])
        command = [str(own) if own.exists() else words[0], *words[1:]]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == expected, f"{line}\n{done.stdout}\n{done.stderr}"
        said += done.stdout
    assert [line for line in shown(block) if not re.search(pattern(line), said)] == [], said


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_files(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "block.yaml"
    path.write_text(block.text, encoding="utf-8")
    models: dict[str, type[BaseModel]] = {"scenario": Scenario, "system": System, "addresses": Addresses}
    load(path, models[block.words])
