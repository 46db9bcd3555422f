"""What GitHub Actions reads from a step: annotations, a summary, and a guard around other output."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from harness.reports.untrusted import shown

if TYPE_CHECKING:
    from harness.reports.case import Case

LONGEST: Final = 4000
"""Characters of a run's report in an annotation, which is shown in a narrow box."""

MOST: Final = 10
"""Annotations that GitHub shows per step."""

LARGEST: Final = 1024 * 1024
"""Bytes of a step's summary; GitHub does not show a larger one."""

Say = Callable[[str], object]


def annotate(cases: Sequence[tuple[Case, int | None]], environment: Mapping[str, str]) -> list[str]:
    """Annotate each case that did not pass, at its scenario's line; if there are too many, the last names the rest."""
    shown_ones = cases if len(cases) <= MOST else cases[: MOST - 1]
    made = [annotation(case, line, environment) for case, line in shown_ones]
    if rest := [case for case, _ in cases[len(shown_ones) :]]:
        names = "\n".join(f"{case.label}: {case.why}" for case in rest)
        title = _property(f"oneffect: {len(rest)} more runs did not pass")
        made.append(f"::error title={title}::{_data(names[:LONGEST])}")
    return made


def annotation(case: Case, line: int | None, environment: Mapping[str, str]) -> str:
    """Return the workflow command that marks a scenario's line in a pull request."""
    workspace = environment.get("GITHUB_WORKSPACE") or Path.cwd()
    place = {"file": os.path.relpath(case.file, workspace), "line": str(line or 1), "title": f"oneffect {case.label}"}
    properties = ",".join(f"{name}={_property(value)}" for name, value in place.items())
    return f"::error {properties}::{_data(f'{case.why}{chr(10)}{case.story[:LONGEST]}')}"


@contextmanager
def unread(say: Say) -> Iterator[None]:
    """Suspend workflow commands, so that GitHub does not take a line of a service's log for one."""
    token = token_hex(16)
    say(f"::stop-commands::{token}")
    try:
        yield
    finally:
        say(f"::{token}::")


def _data(text: str) -> str:
    return shown(text, lines=True).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
