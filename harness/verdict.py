"""Verdicts, and the findings and anomalies that prove them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from harness.history.reader import History

Fields = Mapping[str, object]


class Verdict(IntEnum):
    """Ordered from good to bad, so that ``max()`` composes; unknown never passes."""

    VALID = 0
    UNKNOWN = 1
    INVALID = 2

    @property
    def word(self) -> str:
        """The name in files and reports: ``"valid"``, ``"unknown"`` or ``"invalid"``."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One named way to be wrong.

    ``sql`` is one query over the history's tables; its rows are the evidence, and no rows mean that the anomaly
    is absent. ``verdict`` None makes it a warning. A row fills ``explain``: ``"{event_id} {n} times"``.
    """

    name: str
    verdict: Verdict | None
    sql: str
    explain: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A checker's answer: ``verdict`` None means that the checker does not apply to this system."""

    checker: str
    verdict: Verdict | None
    anomalies: Mapping[str, Sequence[Fields]] = field(default_factory=dict)
    warnings: Mapping[str, Sequence[Fields]] = field(default_factory=dict)
    judged: int = 0
    """How many things were judged (events times consumers, uploads, …)."""
    error: str = ""
    """What the checker raised; the verdict is then ``unknown``."""


class Checker(Protocol):
    """A pure function from a history to a finding."""

    name: ClassVar[str]
    anomalies: ClassVar[tuple[Anomaly, ...]]

    def applies(self, header: Fields) -> bool:
        """Whether the system has what this checker judges."""

    def check(self, history: History) -> Finding:
        """Judge the history; the caller turns an exception into ``unknown``."""
