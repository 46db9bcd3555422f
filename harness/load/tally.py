"""What a load was told so far: which uploads and batches must have their outcome."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from harness.system import UploadLoad

REFUSED = frozenset({400, 413, 415, 422})
"""Answers that say no; anything else that is not the system's own "yes" leaves the outcome unknown."""


def end_of(status: int | None, door: UploadLoad) -> Literal["ok", "fail", "unknown"]:
    """How an answer ends an upload; None: no answer came."""
    if status == door.ok:
        return "ok"
    return "fail" if status in REFUSED else "unknown"


class Tally:
    """``on_acknowledged`` is told each raw blob's id, and the SHA-256 that the client knows it has."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._answered: dict[str, list[bool]] = defaultdict(list)
        """Batch -> of each of its acknowledged uploads, whether it is acceptable."""
        self.on_acknowledged: Callable[[str, str], None] = lambda _id, _sha256: None
        self.acknowledged: dict[str, set[str]] = {"upload": set(), "batch": set()}
        """Ids of what must have its outcome: a batch once all its uploads are acknowledged and one is acceptable."""
        self.unknown: set[str] = set()
        """Uploads whose last answer left them unknown."""

    def note(  # noqa: PLR0913 - what an answer says
        self, phase: str, upload_id: str, *, batch: str | None, acceptable: bool, raw: str | None, sha256: str
    ) -> None:
        """Note how one try of an upload ended: ok, fail or unknown."""
        if phase == "unknown":
            self.unknown.add(upload_id)
            return
        self.unknown.discard(upload_id)
        if phase != "ok" or upload_id in self.acknowledged["upload"]:
            return
        self.acknowledged["upload"].add(upload_id)
        if batch is not None:
            self._answered[batch].append(acceptable)
            if len(self._answered[batch]) == self._batch and any(self._answered.pop(batch)):
                self.acknowledged["batch"].add(batch)
        if raw is not None:
            self.on_acknowledged(raw, sha256)
