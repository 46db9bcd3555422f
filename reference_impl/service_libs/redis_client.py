"""A Redis client with bounded waits and no hidden retries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar, cast

import orjson
import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from reference_impl.service_libs.errors import RedisUnavailable
from reference_impl.service_libs.metrics import Metrics
from reference_impl.service_libs.protocols import Claim

_log = structlog.get_logger()

T = TypeVar("T")

_DELETE_IF_EQUALS = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
_CLAIM = """
if redis.call('get', KEYS[1]) == ARGV[1] then return -1 end
local holder = redis.call('get', KEYS[2])
if holder and holder ~= ARGV[2] then return math.max(1, redis.call('pttl', KEYS[2])) end
redis.call('set', KEYS[2], ARGV[2], 'EX', ARGV[3])
return 0
"""
_SETTLE = """
redis.call('set', KEYS[1], ARGV[1], 'EX', ARGV[2])
if redis.call('get', KEYS[2]) == ARGV[3] then redis.call('del', KEYS[2]) end
return 0
"""


class RedisClient:
    """Runs commands over a connection pool; each raises ``RedisUnavailable`` within the time-outs (seconds).

    A command is sent once: redis-py's own retry would resend a SET NX whose reply was lost, and then take its own key
    for another's. A connection whose reply is late or lost is closed, never reused.
    """

    def __init__(self, url: str, metrics: Metrics, *, connect_timeout: float, command_timeout: float) -> None:
        pool = ConnectionPool.from_url(
            url,
            socket_connect_timeout=connect_timeout,
            socket_timeout=command_timeout,
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # RESP3 and the driver's name cost round trips per connection
            driver_info=None,
            decode_responses=True,
        )
        self._redis = Redis(connection_pool=pool)
        self._metrics = metrics
        self._longest = connect_timeout + command_timeout
        self.available: bool | None = None
        """Whether the last command succeeded; None before the first."""

    async def start(self) -> None:
        """PING, so that a wrong address shows at startup."""
        await self._bounded(self._redis.ping())
        _log.info("redis reached")

    async def stop(self) -> None:
        """Close every connection."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def set_if_not_exists(self, key: str, value: Any, ttl_seconds: int | None = None) -> bool:  # noqa: ANN401
        """SET NX EX: whether the key is now ours. Values other than text, bytes and numbers are stored as JSON."""
        plain = value if isinstance(value, str | bytes | int | float) else orjson.dumps(value)
        return bool(await self._bounded(self._redis.set(key, plain, nx=True, ex=ttl_seconds)))

    async def delete_key(self, key: str) -> int:
        """DEL: how many keys were deleted."""
        return int(await self._bounded(self._redis.delete(key)))

    async def delete_if_equals(self, key: str, value: str) -> bool:
        """Atomically delete a key only if it still holds this value."""
        deleted = self._redis.eval(_DELETE_IF_EQUALS, 1, key, value)
        return bool(await self._bounded(cast("Awaitable[int]", deleted)))

    async def claim(self, done_key: str, digest: str, lease_key: str, token: str, seconds: int) -> Claim:
        """Unless ``done_key`` holds the digest or another token the lease, SET EX the lease; in one round trip."""
        answer = await self._script(_CLAIM, done_key, lease_key, digest, token, seconds)
        return Claim(done=answer < 0, held_seconds=max(0, answer) / 1000)

    async def settle(self, done_key: str, digest: str, ttl_seconds: int, lease_key: str, token: str | None) -> None:
        """SET EX the digest, and delete the lease if it still holds the token; in one round trip."""
        await self._script(_SETTLE, done_key, lease_key, digest, ttl_seconds, token or "")

    async def _script(self, script: str, first_key: str, second_key: str, *arguments: str | int) -> int:
        answer = self._redis.eval(script, 2, first_key, second_key, *arguments)
        return int(await self._bounded(cast("Awaitable[int]", answer)))

    async def _bounded(self, command: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._longest):
                answer = await command
        except (RedisError, OSError, ValueError) as error:  # a TimeoutError is an OSError; ValueError: not UTF-8
            self.available = False
            self._metrics.redis_errors.inc()
            raise RedisUnavailable(f"{type(error).__name__}: {error}") from error
        self.available = True
        return answer
