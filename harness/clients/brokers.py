"""Reads the addresses that a cluster's brokers advertise, from one of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from harness.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_REQUEST_MS = 15_000

_APPEARS_WITHIN = 10.0
"""Seconds to wait for a topic that the broker creates on request."""


async def brokers(address: str) -> Mapping[int, str]:
    """Return the host:port of each broker by its id; StackError if none answers at ``address``."""
    client = AIOKafkaClient(bootstrap_servers=address, request_timeout_ms=_REQUEST_MS)
    try:
        await client.bootstrap()
        return {int(broker.nodeId): f"{broker.host}:{broker.port}" for broker in client.cluster.brokers()}
    except (KafkaError, OSError) as error:
        raise StackError(f"Kafka at {address} does not answer: {error!r}") from error
    finally:
        await client.close()


async def partitions(address: str, topics: Sequence[str]) -> Mapping[str, int]:
    """Return the number of partitions of each of ``topics`` that the broker has; StackError if none answers."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=_REQUEST_MS)
    deadline = asyncio.get_running_loop().time() + _APPEARS_WITHIN
    try:
        await admin.start()
        while True:
            described = await admin.describe_topics(list(topics))
            found = {one["topic"]: len(one["partitions"]) for one in described if not one["error_code"]}
            if found.keys() >= set(topics) or asyncio.get_running_loop().time() > deadline:
                return found
            await asyncio.sleep(0.1)
    except (KafkaError, OSError) as error:
        raise StackError(f"Kafka at {address} does not answer: {error!r}") from error
    finally:
        await admin.close()
