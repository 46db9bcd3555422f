"""The common first design: SET NX EX, process, DEL on error, carry on when Redis is down, no inbox.

It loses an event when its consumer dies after the claim, and duplicates an effect once Redis has forgotten the claim.
"""

from contextlib import suppress
from dataclasses import dataclass

from dishka import Provider, Scope, provide

from reference_impl.service_libs.database import Database
from reference_impl.service_libs.errors import RedisUnavailable
from reference_impl.service_libs.idempotency import IdempotencyGuard, Work
from reference_impl.service_libs.protocols import RedisClientProtocol


@dataclass(frozen=True)
class SetnxGuard:
    """Lets the claim in Redis alone decide."""

    database: Database
    redis: RedisClientProtocol

    async def once(self, work: Work) -> None:
        """Claim, process, and delete the claim on an error."""
        claim = f"claim:{work.message.consumer}:{work.message.event_id}"
        with suppress(RedisUnavailable):
            if not await self.redis.set_if_not_exists(claim, "1", work.ttl_seconds):
                return
        try:
            await work.prepare()
            await self.database.write(work.apply)
        except BaseException:
            with suppress(RedisUnavailable):
                await self.redis.delete_key(claim)
            raise


class SetnxOnly(Provider):
    """Replaces the guard and nothing else."""

    guard = provide(SetnxGuard, scope=Scope.APP, provides=IdempotencyGuard, override=True)
