"""The result of a judged run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.checkers import CHECKERS
from harness.reports.document import Document
from harness.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.history.reader import History

RETAINED: Final = ("raw retained",)
"""The checker that every acknowledged upload's raw blob is still there, unchanged."""

_SOUND: Final = "evidence"
"""The checker of the run itself: unsound evidence shows nothing."""

EFFECT: Final = tuple(name for name in CHECKERS if name not in {*RETAINED, _SOUND})
"""The checkers that each event had exactly one effect, totals too, and each upload, batch or event its outcome.

They are all the others, so that no new checker is left out."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A judged run: its verdict, what was found, and where everything about it lies.

    It is true if nothing was found: ``assert shop.verdict(), …`` says the same as ``assert shop.verdict().valid, …``.
    """

    directory: Path
    """The run's directory: history.jsonl, verdict.json, report.html, logs."""
    document: Document
    """The content of verdict.json."""

    @property
    def verdict(self) -> Verdict:
        """``VALID``, ``UNKNOWN`` or ``INVALID``."""
        return Verdict[str(self.document["verdict"]).upper()]

    @property
    def valid(self) -> bool:
        """Whether the run shows that nothing was lost, doubled or spoiled; False if it is ``unknown``."""
        return self.verdict is Verdict.VALID

    @property
    def unknown(self) -> bool:
        """Whether the run shows neither: too few uploads, a fault that never bit or was never healed, a read that failed."""
        return self.verdict is Verdict.UNKNOWN

    @property
    def invalid(self) -> bool:
        """Whether something is wrong, with the records that prove it."""
        return self.verdict is Verdict.INVALID

    @property
    def anomalies(self) -> Mapping[str, int]:
        """Name of each anomaly found, for example ``lost``, and how often."""
        found: Counter[str] = Counter()
        for finding in self.document["findings"]:
            found.update({name: anomaly["count"] for name, anomaly in finding["anomalies"].items()})
        return found

    @property
    def again(self) -> str:
        """The line that repeats the run with the same seed."""
        return str(self.document["again"])

    def __bool__(self) -> bool:
        return self.valid

    def of(self, *checkers: str) -> Verdict:
        """Return the verdict of these checkers alone, with that of the run itself; ``UNKNOWN`` if none of them applies."""
        by_checker = {
            finding["checker"]: Verdict[finding["verdict"].upper()]
            for finding in self.document["findings"]
            if finding["verdict"] is not None
        }
        applied = [by_checker[checker] for checker in checkers if checker in by_checker]
        return max([*applied, by_checker.get(_SOUND, Verdict.UNKNOWN)]) if applied else Verdict.UNKNOWN

    def require(self, *checkers: str) -> None:
        """Raise AssertionError, with the story, unless ``of`` these checkers is ``VALID``."""
        verdict = self.of(*checkers)
        if verdict is not Verdict.VALID:
            raise AssertionError(f"{', '.join(checkers)}: {verdict.word}\n{self.story()}")

    def story(self) -> str:
        """Return the report: the verdict, what was found with its story, the faults, the run's directory, the line again."""
        from harness.reports.terminal import text

        return text(self.document, self.directory).rstrip()

    def history(self) -> History:
        """Open the recorded history, to be queried with SQL; close it after use, or use it in a ``with``."""
        from harness.history.reader import History

        return History(self.directory / "history.jsonl")

    def __str__(self) -> str:
        return self.story()
