"""Code blocks in the documents run: commands with their exit status, files through the models that read them."""

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import BaseModel

from harness.addresses import Addresses
from harness.files import load
from harness.scenario import Scenario
from harness.system import System

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    page: str
    language: str
    words: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0]}"


def blocks(language: str) -> list[Block]:
    return [
        Block(str(page.relative_to(ROOT)), found[1], found[2].strip(), found[3])
        for page in PAGES
        if "reference/" not in str(page)
        for found in FENCE.finditer(page.read_text(encoding="utf-8"))
        if found[1] == language
    ]


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_commands(block: Block) -> None:
    expected = int(block.words.partition("exit=")[2] or 0)
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        if words[0] == "make":
            # Making the whole from within the whole would not end: that the target is there is what can be shown.
            makefile = (ROOT / "Makefile").read_text()
            assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in words[1:]), line
            continue
        command = [str(Path(sys.executable).with_name(words[0])), *words[1:]]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == expected, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_files(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "block.yaml"
    path.write_text(block.text, encoding="utf-8")
    models: dict[str, type[BaseModel]] = {"scenario": Scenario, "system": System, "addresses": Addresses}
    load(path, models[block.words])
