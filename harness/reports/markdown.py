"""A Markdown summary of several runs, as a pull request's page shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from harness.reports.case import COLUMNS, Case
from harness.reports.github import LARGEST
from harness.reports.untrusted import shown

LONGEST: Final = 8000
"""Characters of one run's report."""

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~&$])")


def markdown(cases: Sequence[Case], *, seed: int, headline: str, room: int = LARGEST) -> str:
    """Return a headline, a table of all runs, and a report of each run that did not pass.

    At most ``room`` bytes in UTF-8, with a count of the rows and reports that do not fit. Empty if nothing fits.
    """
    head = f"## oneffect: {escaped(headline)}\n\nSeed {seed}.\n"
    columns = f"\n| | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}\n"
    reports = [_report(case) for case in cases if not case.passed]
    room -= _size(head)
    if room < 0:
        return ""
    kept_free = _size(_more(len(reports), "reports")) if reports else 0
    table = _fitting(columns, [_row(case) for case in cases], room - kept_free, "rows")
    return head + table + _fitting("", reports, room - _size(table), "reports")


def _fitting(head: str, pieces: Sequence[str], room: int, what: str) -> str:
    """Return the head and as many of its pieces as fit into ``room`` bytes, with a count of the rest."""
    if _size(head) + sum(map(_size, pieces)) <= room:
        return head + "".join(pieces)
    left = room - _size(head) - _size(_more(len(pieces), what))
    if left < 0:
        return ""
    kept: list[str] = []
    for piece in pieces:
        left -= _size(piece)
        if left < 0:
            break
        kept.append(piece)
    return head + "".join(kept) + _more(len(pieces) - len(kept), what)


def _more(count: int, what: str) -> str:
    return f"\n{count} more {what} do not fit here.\n"


def _size(text: str) -> int:
    return len(text.encode())


def _row(case: Case) -> str:
    return f"| {'✅' if case.passed else '❌'} | {' | '.join(escaped(str(cell)) for cell in case.cells())} |\n"


def _report(case: Case) -> str:
    heading = f"\n### {escaped(case.label)}: {escaped(case.why)}\n"
    # A short error is its own heading.
    return heading if case.why.endswith(case.story) else "\n".join([heading, *_block(case.story), ""])


def escaped(text: str) -> str:
    """Return ``text`` on one line, with everything escaped that Markdown or HTML would act on."""
    return _MARKS.sub(r"\\\1", shown(text))


def _block(text: str) -> list[str]:
    text = shown(text, lines=True)
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}…\n(cut; the run directory has all of it)"
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", text, fence]
