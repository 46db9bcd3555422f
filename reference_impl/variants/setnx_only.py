"""The design this field starts from: SET NX EX, process, DEL on error, go on when Redis is down, no inbox.

It loses the event of a consumer that dies after the claim, and doubles the effect once Redis has forgotten it.
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
    """The claim in Redis alone decides."""

    database: Database
    redis: RedisClientProtocol

    async def once(self, work: Work) -> None:
        """Claim, process, and take the claim back on an error."""
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
    """Swaps the guard and touches nothing else."""

    guard = provide(SetnxGuard, scope=Scope.APP, provides=IdempotencyGuard, override=True)
