"""A memory of one process's own: it remembers the ids of the events that it has applied. No inbox, no Redis.

It duplicates an effect once the event comes to a process that did not apply it: after a restart, or at another replica.
"""

from asyncio import Lock
from collections import defaultdict
from functools import partial

from dishka import Provider, Scope, provide
from sqlalchemy import Connection

from reference_impl.service_libs.database import Database
from reference_impl.service_libs.idempotency import IdempotencyGuard, Work


class MemoryGuard:
    """Lets a set in this process's memory alone decide."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._handled: set[str] = set()
        self._turns: defaultdict[str, Lock] = defaultdict(Lock)

    async def once(self, work: Work) -> None:
        """Do the work unless this process has done it; two deliveries of one event take turns."""
        event_id = work.message.event_id
        async with self._turns[event_id]:
            if event_id in self._handled:
                return
            await work.prepare()
            await self._database.write(partial(self._apply, work=work))

    def _apply(self, transaction: Connection, work: Work) -> None:
        work.apply(transaction)
        # Only what was committed is remembered, even if the task that waits for the commit is cancelled.
        self._database.on_commit(transaction, partial(self._handled.add, work.message.event_id))


class MemoryDedupe(Provider):
    """Replaces the guard and nothing else."""

    guard = provide(MemoryGuard, scope=Scope.APP, provides=IdempotencyGuard, override=True)
