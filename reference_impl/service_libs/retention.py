"""Deletes rows that have served their purpose: sent events, and inbox rows of events that no topic still holds."""

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
    """Deletes rows older than ``RETENTION_HOURS``, forever. An event delivered later than that is applied again."""

    settings: DatabaseSettings
    database: Database
    clock: Clock
    backoff: Backoff

    async def run(self) -> None:
        """Delete every ten minutes until cancelled."""
        while True:
            before = self.clock.now() - timedelta(hours=self.settings.retention_hours)
            deleted = await self.backoff.persist(partial(self.database.forget, before), "forget old rows")
            _log.info("forgot old rows", rows=deleted)
            await asyncio.sleep(_EVERY_SECONDS)
