"""Which of a connection's Syncs Postgres answers; see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY.

Each request ends with what is answered by one ReadyForQuery: a simple query, or a Sync. But a server that reads a COPY's
data ignores a Sync among them. So if a client sends one before the data, as libpq does, and one behind them, only the
latter counts. If the COPY fails before the server reads, as by a trigger, the first one counts, and so does the other.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from harness.taps.message import Message, NotUnderstood

_ONE: Final = "Sync"
_TWO: Final = "Sync, a COPY's data, Sync"
"""The memo of a request that ended with these."""


class Syncs:
    """Follows both directions of a connection."""

    def __init__(self) -> None:
        self._asked: deque[Message] = deque()
        """The requests that have no reply yet."""
        self._synced = False
        """Whether the last request ended with a Sync."""
        self._copied = False
        """Whether a COPY's data have come since, and nothing else."""
        self._reads = False
        """Whether the reply that comes has asked for a COPY's data."""
        self._left = False
        """Whether the second Sync of the request that was answered last may have a reply of its own, or none."""

    def ask(self, request: Message) -> None:
        """Expect a reply to a request."""
        self._asked.append(request)

    def took(self, request: Message) -> None:
        """Expect no reply to a request that never reaches the server."""
        if request in self._asked:
            self._asked.remove(request)

    def end(self, request: Message | None, *, synced: bool) -> None:
        """Note what a request ends with."""
        self._synced = synced
        if request is not None and synced:
            request.memo = _ONE

    def data(self) -> None:
        """Note that a COPY's data came where a request could begin."""
        self._copied = self._synced

    def of_copy(self, *, sync: bool) -> bool:
        """Whether what comes where a request could begin, and is no data, is the Sync behind a COPY's data.

        Raises NotUnderstood if the server might ignore it.
        """
        copied, self._copied = self._copied, False
        if not copied or not self._asked:
            return False
        copy = self._asked[-1]
        if not sync or copy.memo != _ONE:
            raise NotUnderstood("a COPY's data, behind which no single Sync follows")
        copy.memo = _TWO
        return True

    def reads(self) -> None:
        """Note that the server reads a COPY's data from now on; NotUnderstood if it reads another request as such."""
        self._reads = True
        if len(self._asked) > 1:
            raise NotUnderstood("a COPY that reads what was sent as another request")

    def second(self, *, ready: bool) -> bool:
        """Whether a reply answers a request's second Sync; ``ready``: whether it says nothing but ReadyForQuery."""
        left, self._left = self._left, False
        if left and ready and self._asked and self._asked[0].command == "Sync":
            raise NotUnderstood("an answer to a Sync, which may be the one behind a COPY's data or the next")
        return left and ready

    def answered(self, *, failed: bool, status: bytes = b"I") -> None:
        """Note that the reply to a request is complete, and in the request's memo the ``status`` that it ends with."""
        reads, self._reads = self._reads, False
        ended_with = None
        if self._asked:
            request = self._asked.popleft()
            ended_with, request.memo = request.memo, status
        if reads and not failed:
            return  # the data were read to their end, and the first of two Syncs with them
        self._left = ended_with == _TWO
        if reads and ended_with == _ONE and self._asked:
            raise NotUnderstood("a request behind a COPY that failed, whose Sync may have been ignored")
