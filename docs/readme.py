"""Puts the output of a demo into the README: ``oneffect demo | python docs/readme.py``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
_BLOCK = re.compile(r"(<!-- demo: [^\n]*-->\n).*?(<!-- end of demo -->)", re.DOTALL)


def main() -> None:
    """Replace what stands between the two marks with standard input, which is passed on."""
    output = sys.stdin.read()
    sys.stdout.write(output)
    text = README.read_text(encoding="utf-8")
    block = f"```text\n{output.strip()}\n```\n"
    README.write_text(_BLOCK.sub(lambda marks: marks[1] + block + marks[2], text), encoding="utf-8")


if __name__ == "__main__":
    main()
