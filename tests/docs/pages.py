"""Reads the code blocks of the documents, and follows the pages of docs/extending/ on a copy of the tree."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"`([^`]+)`, (a new file|above|below|in place of)(?: `([^`]+)`)?:")
"""The line before a block names the file, and the place: a text that occurs in exactly one line of that file."""

EXTENDING = sorted((ROOT / "docs" / "extending").glob("*.md"))
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".oneffect", ".*_cache", ".hypothesis", "dist", "node_modules", "*.egg-info"
)


@dataclass(frozen=True)
class Block:
    """A fenced block: ``words`` follow the language, ``lead`` is the line of text before it."""

    page: str
    language: str
    words: str
    text: str
    lead: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0]}"


def blocks(page: Path) -> Iterator[Block]:
    """Every block of a page."""
    text = page.read_text(encoding="utf-8")
    name = str(page.relative_to(ROOT))
    for fence in FENCE.finditer(text):
        lead = text[: fence.start()].rstrip().rpartition("\n")[2]
        yield Block(name, fence[1], fence[2].strip(), fence[3], lead)


@dataclass(frozen=True)
class Step:
    """One change to the tree."""

    path: str
    where: str
    anchor: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.path} {self.where} {self.anchor or ''}".strip()

    def apply(self, tree: Path) -> None:
        """Change the file; LookupError unless exactly one of its lines contains the anchor."""
        path = tree / self.path
        if self.where == "a new file":
            if path.exists():
                raise LookupError(f"{self.path} already exists")
            path.write_text(self.text, encoding="utf-8")
            return
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        at = [number for number, line in enumerate(lines) if self.anchor and self.anchor in line]
        if len(at) != 1:
            raise LookupError(f"{self.path}: {len(at)} lines contain {self.anchor!r}; name a text that occurs once")
        first, last = {"above": (0, 0), "below": (1, 1), "in place of": (0, 1)}[self.where]
        # Two blank lines follow a top-level definition.
        space = "\n\n" if self.where == "above" and not self.text.startswith(" ") else ""
        lines[at[0] + first : at[0] + last] = [self.text + space]
        path.write_text("".join(lines), encoding="utf-8")


@dataclass(frozen=True)
class Command:
    """A command of a page, and lines that its output must contain; ``…`` matches anything."""

    line: str
    shows: tuple[str, ...] = ()


class Page:
    """A page of docs/extending/."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.steps: list[Step] = []
        self.commands: list[Command] = []
        self.real: list[Command] = []
        """Commands that start a stack."""
        shown: list[Command] = []
        for block in blocks(path):
            if block.language == "sh":
                shown = self.real if block.words == "real" else self.commands
                shown += [Command(line) for line in block.text.splitlines()]
            elif block.language == "text":
                shown[-1] = Command(shown[-1].line, tuple(block.text.splitlines()))
            elif step := STEP.search(block.lead):
                self.steps.append(Step(step[1], step[2], step[3], block.text))
            elif block.words != "example":
                raise LookupError(f"{block}: the line before it names no file and place; see STEP")


class Tree:
    """A copy of this tree in ``folder``, with a virtual environment that imports ``harness`` and ``reference_impl`` from it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tree"
        shutil.copytree(ROOT, self.path, ignore=LEFT_OUT, symlinks=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
        self._python = folder / "venv" / "bin" / "python"
        ask = [str(self._python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        site = Path(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip())
        # Dependencies come from this environment. Python does not process its .pth files there, which point to this tree.
        (site / "copy.pth").write_text(f"{self.path}\n{sysconfig.get_path('purelib')}\n")

    def failure(self, commands: list[Command], timeout: float = 300.0) -> str:
        """Run the commands until one fails or lacks expected output; describe the failure, empty if there was none."""
        for command in commands:
            name, *words = shlex.split(command.line)
            if name == "mypy" and (cache := ROOT / ".mypy_cache").is_dir():
                # Of files that are as they are here it need not read all again, which takes a minute.
                shutil.copytree(cache, self.path / cache.name, dirs_exist_ok=True)
            env = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTEST_ADDOPTS"}}
            done = subprocess.run(
                [*self._program(name), *words],
                cwd=self.path,
                env=env | {"COLUMNS": "250"},
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
            said = done.stdout + done.stderr
            unseen = [line for line in command.shows if not re.search(pattern(line), said)]
            if done.returncode or unseen:
                return f"{command.line}: status {done.returncode}; not shown: {unseen}\n{said}"
        return ""

    def _program(self, name: str) -> list[str]:
        """Run this environment's scripts with the copy's interpreter, other programs directly."""
        if name == "python":
            return [str(self._python)]
        script = Path(sys.executable).with_name(name)
        if not script.exists():
            return [name]
        return [*([str(self._python)] if script.read_bytes()[:2] == b"#!" else []), str(script)]


def pattern(line: str) -> str:
    """A regular expression for a line of output; ``…`` stands for anything."""
    return ".*".join(re.escape(part.strip()) for part in line.split("…"))
