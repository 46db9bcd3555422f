"""The consumer: bills each order once. The inbox decides, and Redis saves most redeliveries the trip to the database."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faststream import AckPolicy
from faststream.asgi import AsgiFastStream, make_ping_asgi
from faststream.kafka import KafkaBroker
from orders import Order
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

DAY = 24 * 60 * 60
TABLES = """
SELECT pg_advisory_xact_lock(1);
CREATE TABLE IF NOT EXISTS inbox (order_id text PRIMARY KEY);
CREATE TABLE IF NOT EXISTS bills (number bigserial PRIMARY KEY, order_id text NOT NULL, cents bigint NOT NULL);
"""

broker = KafkaBroker(os.environ["KAFKA"])
redis = Redis.from_url(os.environ["REDIS_URL"])
database = AsyncConnectionPool(os.environ["DATABASE_URL"], min_size=1, max_size=4, open=False)


@broker.subscriber(
    os.environ["ORDERS"],
    group_id=os.environ["GROUP"],
    auto_offset_reset="earliest",
    session_timeout_ms=int(os.environ["SESSION_TIMEOUT_MS"]),
    heartbeat_interval_ms=int(os.environ["SESSION_TIMEOUT_MS"]) // 4,
    ack_policy=AckPolicy.NACK_ON_ERROR,
)
async def bill(order: Order) -> None:
    """Write an order's inbox row and its bill in one transaction: both are there, or neither."""
    if await redis.exists(f"billed:{order.id}"):
        return
    async with database.connection() as transaction:
        first = await transaction.execute("INSERT INTO inbox VALUES (%s) ON CONFLICT DO NOTHING", (order.id,))
        if first.rowcount:
            await transaction.execute("INSERT INTO bills (order_id, cents) VALUES (%s, %s)", (order.id, order.cents))
    await redis.set(f"billed:{order.id}", 1, ex=DAY)


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    """Have the tables before the first order."""
    async with database:
        async with database.connection() as transaction:
            await transaction.execute(TABLES)
        yield


app = AsgiFastStream(broker, lifespan=lifespan, asgi_routes=[("/health", make_ping_asgi(broker, timeout=5))])
