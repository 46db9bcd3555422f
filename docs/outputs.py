"""Puts a command's output into a page: ``oneffect demo | python docs/outputs.py README.md demo``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main(page: str, name: str) -> None:
    """Replace what stands in a page between the marks ``name`` and ``end of name`` with standard input, and pass it on."""
    output = sys.stdin.read()
    sys.stdout.write(output)
    path = ROOT / page
    marks = re.compile(rf"(<!-- {re.escape(name)}: [^\n]*-->\n).*?(<!-- end of {re.escape(name)} -->)", re.DOTALL)
    lines = "\n".join(line.rstrip() for line in output.strip().splitlines())
    text, found = marks.subn(
        lambda mark: f"{mark[1]}```text\n{lines}\n```\n{mark[2]}", path.read_text(encoding="utf-8")
    )
    if found != 1:
        sys.exit(f"{page}: has no place for {name}; write <!-- {name}: … --> and <!-- end of {name} -->")
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
