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


class Answers:
    """Tells what must have its outcome, and keeps of it only batches that are not whole yet: a long load has very many.

    ``on_asked`` is told "upload" or "batch" and its id: a batch once all its uploads are acknowledged, or their outcomes
    were seen, and one is acceptable. ``on_acknowledged`` is told each raw blob's id, and the SHA-256 that the client knows
    it has; ``on_taken`` each acknowledged upload's id, whether it is acceptable, and its raw blob's id, if the front door
    says it.
    """

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._open: defaultdict[str, dict[str, bool]] = defaultdict(dict)
        """Batch -> of each of its uploads that was taken, whether it is acceptable."""
        self._unsure: dict[str, tuple[str, bool]] = {}
        """Uploads without an answer: their batch, and whether they are acceptable."""
        self.has_outcome: Callable[[str], bool] = lambda _id: False
        """Whether an outcome of an upload was seen, which is as good as an answer."""
        self.on_asked: Callable[[str, str], None] = lambda _of, _id: None
        self.on_acknowledged: Callable[[str, str], None] = lambda _id, _sha256: None
        self.on_taken: Callable[[str, bool, str | None], None] = lambda _id, _acceptable, _raw: None
        self.begun = 0
        """Tries of uploads that were begun, as far as they are counted while they are under way."""
        self.ended = 0
        """Tries that ended, whatever the answer."""
        self.acknowledged = 0
        """Answers that said yes."""

    def note(  # noqa: PLR0913 - what an answer says
        self, phase: str, upload_id: str, *, batch: str | None, acceptable: bool, raw: str | None, sha256: str
    ) -> None:
        """Note how one try of an upload ended: ok, fail or unknown."""
        self.ended += 1
        self.begun = max(self.begun, self.ended)
        if phase == "unknown" and batch is not None:
            self._unsure[upload_id] = batch, acceptable
            if self.has_outcome(upload_id):
                self.outcome(upload_id)
        if phase != "ok":
            return
        self.acknowledged += 1
        self.on_asked("upload", upload_id)
        self.on_taken(upload_id, acceptable, raw)
        self._unsure.pop(upload_id, None)
        if batch is not None:
            self._take(upload_id, batch, acceptable)
        if raw is not None:
            self.on_acknowledged(raw, sha256)

    def outcome(self, upload_id: str) -> None:
        """An outcome of an upload was seen: it was taken, whatever became of its answer."""
        if (found := self._unsure.pop(upload_id, None)) is not None:
            self._take(upload_id, *found)

    def _take(self, upload_id: str, batch: str, acceptable: bool) -> None:  # noqa: FBT001 - a fact about the upload
        self._open[batch][upload_id] = acceptable
        if len(self._open[batch]) == self._batch and any(self._open.pop(batch).values()):
            self.on_asked("batch", batch)
