"""What GitHub Actions reads from a step's output: annotations, and the order to read nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from harness.reports.untrusted import shown

if TYPE_CHECKING:
    from harness.reports.case import Case

LONGEST: Final = 4000
"""Characters of a run's report in an annotation, which is shown in a narrow box."""

Say = Callable[[str], object]


def annotation(case: Case, line: int | None, environment: Mapping[str, str]) -> str:
    """The workflow command that marks a scenario's line in a pull request."""
    workspace = environment.get("GITHUB_WORKSPACE") or Path.cwd()
    place = {"file": os.path.relpath(case.file, workspace), "line": str(line or 1), "title": f"oneffect {case.label}"}
    properties = ",".join(f"{name}={_property(value)}" for name, value in place.items())
    return f"::error {properties}::{_data(f'{case.why}{chr(10)}{case.story[:LONGEST]}')}"


@contextmanager
def unread(say: Say) -> Iterator[None]:
    """Whatever is printed within is text: a line of a service's log must not be taken for a workflow command."""
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
