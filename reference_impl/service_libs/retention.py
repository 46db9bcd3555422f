"""Deletes rows that have served their purpose: sent events, and inbox rows of events that no topic still holds.

Age alone does not tell which those are: while everything stands still, nothing gets old on a topic. So a consumer
forgets nothing before its group has committed all that was on its topics, and what comes again after a stop is known,
however long the stop was.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from reference_impl.service_libs.backoff import Backoff
from reference_impl.service_libs.clock import Clock
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.settings import OutboxSettings

_log = structlog.get_logger()

_EVERY_SECONDS = 600


@dataclass(frozen=True)
class Retention:
    """Deletes rows older than ``RETENTION_HOURS``, forever. An event that is read again from further back is applied again."""

    settings: OutboxSettings
    database: Database
    clock: Clock
    backoff: Backoff
    caught_up: Callable[[], Awaitable[None]]
    """Returns once everything that was on the service's topics when it was called has been delivered for good."""

    async def run(self) -> None:
        """Delete every ten minutes until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            before = self.clock.now() - timedelta(hours=self.settings.retention_hours)
            await self.backoff.persist(self.caught_up, "catch up before anything is forgotten", whatever=True)
            deleted = await self.backoff.persist(partial(self.database.forget, before), "forget old rows")
            _log.info("forgot old rows", rows=deleted)
