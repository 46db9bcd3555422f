"""What has served its purpose goes: events that were sent, and the memory of events that no topic holds any more."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from reference_impl.service_libs.backoff import Backoff
from reference_impl.service_libs.clock import Clock
from reference_impl.service_libs.database import Database
from reference_impl.service_libs.settings import DatabaseSettings

_log = structlog.get_logger()

_EVERY_SECONDS = 600


@dataclass(frozen=True)
class Retention:
    """Deletes rows older than ``RETENTION_HOURS``, for ever. An event delivered later than that is applied again."""

    settings: DatabaseSettings
    database: Database
    clock: Clock
    backoff: Backoff

    async def run(self) -> None:
        """Delete, and wait, until cancelled."""
        while True:
            before = self.clock.now() - timedelta(hours=self.settings.retention_hours)
            gone = await self.backoff.persist(partial(self.database.forget, before), "forget old rows")
            _log.info("forgot old rows", rows=gone)
            await asyncio.sleep(_EVERY_SECONDS)
