"""shrink.json: every candidate judged so far with its runs, so that a search resumes where it stopped."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from harness.errors import FileError
from harness.reports.document import write_whole
from harness.shrink.candidate import Candidate
from harness.shrink.rule import Ran

FORMAT: Final = 1


@dataclass(slots=True)
class Entry:
    """A candidate: its number in the order of the search, its part of a scenario file, and its runs in order."""

    number: int
    size: str
    scenario: dict[str, Any]
    ran: list[Ran] = field(default_factory=list)
    refused: str = ""
    """Why the system or the stack cannot have it; it then has no runs."""


class Judged:
    """The candidates judged so far, kept in a file that is written after each run.

    ``of`` is the digest of the whole plan; a file with another digest is ignored. FileError for a file that cannot be
    read or written.
    """

    def __init__(self, path: Path, of: str) -> None:
        self.path, self._of = path, of
        self.entries: dict[str, Entry] = {}
        """By the candidate's identity."""
        self.stale = False
        """Whether there was a file about another plan, or in another format."""
        if path.exists():
            self._read()

    def entry(self, candidate: Candidate) -> Entry:
        """Return a candidate's entry, a new one if it was never asked about."""
        new = Entry(len(self.entries) + 1, candidate.size, candidate.document())
        return self.entries.setdefault(candidate.identity, new)

    def runs(self) -> list[Ran]:
        """Return the runs of all candidates."""
        return [ran for entry in self.entries.values() for ran in entry.ran]

    def keep(self) -> None:
        """Write the file."""
        candidates = [{"candidate": identity, **asdict(entry)} for identity, entry in self.entries.items()]
        content = {"format": FORMAT, "of": self._of, "candidates": candidates}
        write_whole(self.path, orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")

    def _read(self) -> None:
        try:
            content = orjson.loads(self.path.read_bytes())
            self.stale = (content["format"], content["of"]) != (FORMAT, self._of)
            for row in [] if self.stale else content["candidates"]:
                ran = [Ran(**{**one, "anomalies": tuple(one["anomalies"])}) for one in row.pop("ran")]
                identity = row.pop("candidate")
                self.entries[identity] = Entry(**row, ran=ran)
        except OSError as error:
            raise FileError(f"cannot be read: {error.strerror}", path=str(self.path)) from error
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise FileError("is damaged; remove it to begin anew", path=str(self.path)) from error
