"""Asks the system to reprocess uploads from their raw blobs, and to replay dead letters."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

from harness.load.asking import Asking
from harness.load.drawn import Drawn, Taken

if TYPE_CHECKING:
    from harness.clients.http import HttpClient
    from harness.history.recorder import Recorder
    from harness.observers.set_aside import SetAside
    from harness.observers.watch import Watch
    from harness.plan import Plan
    from harness.session.live import LiveSystem
    from harness.system import Request

AT_ONCE: Final = 4
"""Most requests or commands under way at a time."""

_ACTOR: Final = "again"
_LOOK: Final = 0.1


class Again:
    """Carries out the scenario's ``again:``, recording each request as an operation. Call ``open`` first.

    It waits for uploads with an outcome, or dead letters, until ``patience`` seconds bring no more: a further
    outcome can be asked only of an upload whose outcome was seen.
    """

    def __init__(  # noqa: PLR0913 - the parts of a run
        self,
        plan: Plan,
        live: LiveSystem,
        watch: Watch,
        recorder: Recorder,
        http: HttpClient,
        *,
        patience: float,
    ) -> None:
        self._plan, self._live, self._watch, self._recorder, self._http = plan, live, watch, recorder, http
        self._patience = patience
        reprocessed = sum(line.reprocess or 0 for line in plan.scenario.again)
        self.drawn = Drawn(live.names.run, plan.seed, reprocessed)
        """``drawn.note`` must be called with each acknowledged upload."""
        self._replayed: set[object] = set()
        self._turn = asyncio.Semaphore(AT_ONCE)

    def open(self) -> None:
        """Check the environments of the commands; StackError, before any load, if one cannot be filled in."""
        for line in self._plan.scenario.again:
            request = self._request(line.op)
            for service in self._services(line.op, request) if request.command is not None else ():
                self._live.environment(service)

    async def ask(self, row: int) -> int:
        """Carry out one row of ``again:``, counted from 0; return the number of requests once all are answered."""
        line = self._plan.scenario.again[row]
        works = await (self._reprocesses(line.reprocess) if line.reprocess is not None else self._replays(line.count))
        async with asyncio.TaskGroup() as tasks:
            for work in works:
                tasks.create_task(self._in_turn(work))
        return len(works)

    async def _in_turn(self, work: Callable[[], Awaitable[None]]) -> None:
        async with self._turn:
            await work()

    async def _reprocesses(self, count: int) -> list[Callable[[], Awaitable[None]]]:
        await self._until(count, lambda: self.drawn.ready(count, self._has_outcome))
        asking = self._asking("reprocess")
        taken = self.drawn.take(count, self._has_outcome)
        return [lambda upload=upload: self._reprocess(asking, upload) for upload in taken]  # type: ignore[misc]

    def _has_outcome(self, upload_id: str) -> bool:
        return self._watch.settled("upload", upload_id)

    async def _reprocess(self, asking: Asking, upload: Taken) -> None:
        about = {"upload_id": upload.upload_id, **({"raw_file_storage_id": upload.raw} if upload.raw else {})}
        if await self._asked("reprocess", asking, about, self._plan.system.load.front or "", about):
            self._watch.asked_again("upload", upload.upload_id)

    async def _replays(self, count: int | None) -> list[Callable[[], Awaitable[None]]]:
        await self._until(count or 1, lambda: len(self._letters()))
        asking = self._asking("replay")
        letters = self._letters()
        chosen = sorted(letters, key=self._rank)[:count]
        self._replayed.update(chosen)
        return [lambda letter=letters[key]: self._replay(asking, letter) for key in chosen]  # type: ignore[misc]

    def _letters(self) -> dict[object, SetAside]:
        """Dead letters that were not replayed yet, one for each consumer and record."""
        letters: dict[object, SetAside] = {}
        for letter in self._watch.letters():
            if letter.key not in self._replayed:
                letters.setdefault(letter.key, letter)
        return letters

    def _rank(self, key: object) -> bytes:
        return hashlib.blake2b(f"{self._plan.seed}:{key}".encode(), digest_size=8).digest()

    async def _replay(self, asking: Asking, letter: SetAside) -> None:
        names = ("consumer", "event_id", "source_topic", "source_partition", "source_offset")
        fields = {name: letter.fields.get(name) for name in names}
        await self._asked("replay", asking, letter.about, str(fields["consumer"] or ""), fields)

    async def _asked(
        self, op: str, asking: Asking, about: Mapping[str, str], service: str, fields: Mapping[str, object]
    ) -> bool:
        """Make one request as an operation; return whether the answer was yes."""
        with self._recorder.operation(op, _ACTOR, **fields) as operation:
            answered = await asking.ask(about, asking.request.service or service)
            end = {"ok": operation.ok, "fail": operation.fail, "unknown": operation.unknown}[answered.phase]
            end(**fields, status=answered.status, exit_status=answered.exit_status, error=answered.error)
        return answered.phase == "ok"

    def _asking(self, op: str) -> Asking:
        return Asking(self._request(op), self._http, self._live.filled, self._environment, self._plan.folder)

    def _environment(self, service: str) -> Mapping[str, str]:
        """Return the service's environment; a dead letter may name a consumer that is not in the system file."""
        return self._live.environment(service) if service in self._plan.system.services else {}

    def _request(self, op: str) -> Request:
        request = self._plan.system.reprocess if op == "reprocess" else self._plan.system.replay
        assert request is not None, "the plan refuses it"  # noqa: S101
        return request

    def _services(self, op: str, request: Request) -> list[str]:
        if request.service is not None:
            return [request.service]
        if op == "reprocess":
            return [front] if (front := self._plan.system.load.front) is not None else []
        return list(self._plan.system.effects)

    async def _until(self, count: int, there: Callable[[], int]) -> None:
        loop = asyncio.get_running_loop()
        most, deadline = 0, loop.time() + self._patience
        while (now := there()) < count:
            if now > most:
                most, deadline = now, loop.time() + self._patience
            elif loop.time() >= deadline:
                return
            await asyncio.sleep(_LOOK)
