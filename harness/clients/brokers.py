"""What the brokers of a cluster advertise to who asks at one address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from harness.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUEST_MS = 15_000


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
