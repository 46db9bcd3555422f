"""The files that a gate writes: looked at before anything starts, written when all is over."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import FileError

if TYPE_CHECKING:
    from harness.reports.case import Case


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where to write what; None: not at all. ``step_summary`` is GitHub's and is appended to."""

    junit: Path | None
    html: Path | None
    summary: Path | None
    base: Path | None
    step_summary: Path | None

    def prepare(self) -> None:
        """Make the folders; FileError for the first file or folder that could not be written."""
        for path in (self.junit, self.summary, self.base):
            if path is not None:
                _folder(path.parent)
                if path.is_dir():
                    raise FileError("is a folder; name a file", path=str(path))
                if not os.access(path if path.exists() else path.parent, os.W_OK):
                    raise FileError("may not be written to; name another file", path=str(path))
        if self.html is not None:
            _folder(self.html)

    def write(self, cases: Sequence[Case], *, seed: int, started: datetime, headline: str) -> None:
        """Write all that was asked for; the base only if every run passed."""
        from harness.reports import baseline
        from harness.reports.junit import junit
        from harness.reports.markdown import markdown

        told = markdown(cases, seed=seed, headline=headline).encode()
        try:
            if self.junit is not None:
                self.junit.write_bytes(junit(cases, seed=seed, started=started))
            if self.summary is not None:
                self.summary.write_bytes(told)
            if self.step_summary is not None:
                with self.step_summary.open("ab") as file:
                    file.write(told)
            if self.base is not None and all(case.passed for case in cases):
                self.base.write_bytes(baseline.written(cases))
            if self.html is not None:
                _copy_reports(cases, self.html)
        except OSError as error:
            raise FileError(f"cannot be written: {error.strerror}", path=str(error.filename or "")) from error


def _copy_reports(cases: Sequence[Case], folder: Path) -> None:
    for case in cases:
        report = case.directory / "report.html"
        if case.document is not None and report.is_file():
            shutil.copyfile(report, folder / f"{case.label.replace(' ', '.')}.html")


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot be made: {error.strerror}; name another folder", path=str(path)) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise FileError("may not be written to; name another folder", path=str(path))
