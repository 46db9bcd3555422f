"""A Markdown summary of several runs, as a pull request's page shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from harness.reports.case import COLUMNS
from harness.reports.untrusted import shown

if TYPE_CHECKING:
    from harness.reports.case import Case

LONGEST: Final = 8000
"""Characters of one run's report: a step's whole summary may have 1 MiB."""

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~&$])")


def markdown(cases: Sequence[Case], *, seed: int, headline: str) -> str:
    """A headline, a table of all runs, and what there is to say of each that did not pass."""
    lines = [f"## oneffect: {escaped(headline)}", "", f"Seed {seed}.", ""]
    lines += [f"| | {' | '.join(COLUMNS)} |", f"|---|{'---|' * len(COLUMNS)}"]
    for case in cases:
        mark = "✅" if case.passed else "❌"
        lines.append(f"| {mark} | {' | '.join(escaped(str(cell)) for cell in case.cells())} |")
    for case in cases:
        if not case.passed:
            lines += ["", f"### {escaped(case.label)}: {escaped(case.why)}", "", *_block(case.story)]
    return "\n".join([*lines, ""])


def escaped(text: str) -> str:
    """``text`` on one line, with nothing in it that Markdown or HTML would act on."""
    return _MARKS.sub(r"\\\1", shown(text))


def _block(text: str) -> list[str]:
    text = shown(text, lines=True)
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}…\n(cut; the run directory has all of it)"
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", text, fence]
