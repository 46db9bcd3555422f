"""The files that a gate writes: checked before anything starts, written after each run and at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import FileError
from harness.session.directory import require_writable

if TYPE_CHECKING:
    from harness.reports.case import Case


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where to write each output; None for not at all. ``step_summary`` is GitHub's, and appended to."""

    junit: Path | None
    html: Path | None
    summary: Path | None
    base: Path | None
    step_summary: Path | None

    def prepare(self, labels: Iterable[str]) -> None:
        """Create the folders, and remove an earlier gate's outputs, which must not be mistaken for this one's.

        Only reports of runs with these labels are removed. A base stays, as it is written only if all passed. FileError
        for the first file or folder that is not writable; then nothing is removed.
        """
        for path in (self.junit, self.summary, self.base):
            if path is not None:
                require_writable(path.parent, "name another folder")
                if path.is_dir():
                    raise FileError("is a folder; name a file", path=str(path))
                if not os.access(path if path.exists() else path.parent, os.W_OK):
                    raise FileError("is not writable; name another file", path=str(path))
        if self.html is not None:
            require_writable(self.html, "name another folder")
        reports = [_report(self.html, label) for label in labels] if self.html is not None else []
        for path in (self.junit, self.summary, *reports):
            if path is not None and path.exists() and _is_ours(path):
                _remove(path)

    @property
    def files(self) -> Outputs:
        """The outputs that may be written more than once: not, say, a terminal as /dev/stdout."""
        junit = self.junit if self.junit is not None and _is_ours(self.junit) else None
        summary = self.summary if self.summary is not None and _is_ours(self.summary) else None
        return replace(self, junit=junit, summary=summary)

    def write(
        self, cases: Sequence[Case], *, seed: int, started: datetime, headline: str, broken_off: str = ""
    ) -> None:
        """Write every requested output, the base only if every run passed. ``broken_off`` says how many runs are missing."""
        from harness.reports import baseline
        from harness.reports.github import LARGEST
        from harness.reports.markdown import markdown

        self.keep(cases, seed=seed, started=started, headline=headline, broken_off=broken_off)
        try:
            if self.step_summary is not None:
                with self.step_summary.open("ab") as file:
                    room = LARGEST - file.tell()
                    file.write(markdown(cases, seed=seed, headline=headline, room=room).encode())
            if self.base is not None and not broken_off and all(case.passed for case in cases):
                self.base.write_bytes(baseline.written(cases))
        except OSError as error:
            raise _unwritten(error) from error

    def keep(self, cases: Sequence[Case], *, seed: int, started: datetime, headline: str, broken_off: str) -> None:
        """Write the results so far, so that a killed gate leaves the runs it had made."""
        from harness.reports.junit import junit
        from harness.reports.markdown import markdown

        try:
            if self.junit is not None:
                self.junit.write_bytes(junit(cases, seed=seed, started=started, broken_off=broken_off))
            if self.summary is not None:
                self.summary.write_bytes(markdown(cases, seed=seed, headline=headline).encode())
            if self.html is not None:
                _copy_reports(cases, self.html)
        except OSError as error:
            raise _unwritten(error) from error


def _is_ours(path: Path) -> bool:
    """Whether this is or will be a regular file: not a pipe, and not a link to a file that others write too."""
    return not path.is_symlink() and (path.is_file() or not path.exists())


def _unwritten(error: OSError) -> FileError:
    return FileError(f"cannot be written: {error.strerror}", path=str(error.filename or ""))


def _copy_reports(cases: Sequence[Case], folder: Path) -> None:
    for case in cases:
        report, copy = case.directory / "report.html", _report(folder, case.label)
        if case.document is not None and report.is_file() and not _same_size(report, copy):
            shutil.copyfile(report, copy)


def _same_size(one: Path, other: Path) -> bool:
    return other.exists() and one.stat().st_size == other.stat().st_size


def _report(folder: Path, label: str) -> Path:
    return folder / f"{label.replace(' ', '.')}.html"


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError:
        # Empty a file that cannot be removed, say from a foreign folder or a mount.
        try:
            path.write_bytes(b"")
        except OSError as error:
            raise _unwritten(error) from error
