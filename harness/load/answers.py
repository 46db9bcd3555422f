"""A load's answers so far: they decide which uploads and batches must have an outcome."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from harness.exact_json import loads, text
from harness.pointer import pick

if TYPE_CHECKING:
    from harness.system_load import UploadLoad

REFUSED = frozenset({400, 413, 415, 422})
"""HTTP statuses that refuse an upload; any other, except those that accept it, leaves the upload unknown."""


def end_of(status: int | None, door: UploadLoad) -> Literal["ok", "fail", "unknown"]:
    """Map an answer's HTTP status to the operation's end; None: no answer came."""
    if status in door.accepted:
        return "ok"
    return "fail" if status in REFUSED else "unknown"


def blob_in(answer: object, door: UploadLoad) -> str | None:
    """Return the raw blob's id that an answer's JSON names, a number spelled as in an event; None if it names none."""
    named = pick(answer, door.blob) if door.blob is not None else None
    return text(named) if isinstance(named, str | int) and not isinstance(named, bool) else None


def blob_in_body(body: bytes, door: UploadLoad) -> str | None:
    """Return the same of an answer's body; None if that is not JSON."""
    try:
        return blob_in(loads(body), door)
    except ValueError:
        return None


class Answers:
    """Reports what must have an outcome; holds only incomplete batches, as a long load has very many.

    ``on_asked`` gets "upload" or "batch", the id, and whether it is acceptable: a batch's once each of its uploads was
    acknowledged or its outcome seen, provided that one is acceptable. ``on_acknowledged`` gets each raw blob's id and the
    client's SHA-256 of it. ``on_taken`` gets each acknowledged upload's id, whether it is acceptable, and its raw blob's id if
    the front door gives one.
    """

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._open: defaultdict[str, dict[str, bool]] = defaultdict(dict)
        """Batch -> uploads taken so far -> whether acceptable."""
        self._unsure: dict[str, tuple[str, bool]] = {}
        """Upload without an answer -> its batch, and whether it is acceptable."""
        self.has_outcome: Callable[[str], bool] = lambda _id: False
        """Whether an upload's outcome was seen, which is as good as an answer."""
        self.on_asked: Callable[[str, str, bool], None] = lambda _of, _id, _acceptable: None
        self.on_acknowledged: Callable[[str, str], None] = lambda _id, _sha256: None
        self.on_taken: Callable[[str, bool, str | None], None] = lambda _id, _acceptable, _raw: None
        self.begun = 0
        """Tries begun; only ``Load`` counts them while they are under way."""
        self.queued = False
        """Whether begun tries may still be in a queue of the client, so that the system may not have them yet."""
        self.ended = 0
        """Tries ended, whatever the answer."""
        self.acknowledged = 0
        """Tries acknowledged."""

    @property
    def under_way(self) -> int:
        """Tries known to be with the system and unanswered."""
        return 0 if self.queued else self.begun - self.ended

    def begin(self) -> None:
        """Count a try that begins."""
        self.begun += 1

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Count a try that began as ended if its caller stops waiting: the system has it no longer, whatever it made of it."""
        try:
            yield
        except BaseException:
            self.ended = min(self.begun, self.ended + 1)
            raise

    def note(  # noqa: PLR0913 - the facts of an answer
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
        self.on_asked("upload", upload_id, acceptable)
        self.on_taken(upload_id, acceptable, raw)
        self._unsure.pop(upload_id, None)
        if batch is not None:
            self._take(upload_id, batch, acceptable)
        if raw is not None:
            self.on_acknowledged(raw, sha256)

    def outcome(self, upload_id: str) -> None:
        """Note that an upload's outcome was seen: the system took it, whatever became of the answer."""
        if (unsure := self._unsure.pop(upload_id, None)) is not None:
            self._take(upload_id, *unsure)

    def _take(self, upload_id: str, batch: str, acceptable: bool) -> None:  # noqa: FBT001 - a fact about the upload
        self._open[batch][upload_id] = acceptable
        if len(self._open[batch]) == self._batch and any(self._open.pop(batch).values()):
            self.on_asked("batch", batch, True)  # noqa: FBT003 - as on_asked has it
