"""What a group's coordinator answers about its offsets."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError, GroupLoadInProgressError, NotCoordinatorForGroupError
from aiokafka.protocol.commit import OffsetFetchRequest, OffsetFetchResponse_v3

from harness.clients.groups import committed
from tests.standin import StandIn


class Admin(StandIn):
    """Gives an answer of Kafka's, as it came over the wire."""

    def __init__(self, *, topics: list, error: int) -> None:
        self._answer = OffsetFetchResponse_v3(throttle_time_ms=0, topics=topics, error_code=error)

    async def find_coordinator(self, group):
        return 0

    async def _send_request(self, request, node):
        assert isinstance(request, OffsetFetchRequest)
        return OffsetFetchResponse_v3.decode(self._answer.encode())


async def test_the_offsets_of_each_partition() -> None:
    admin = Admin(topics=[("orders", [(0, 7, "", 0), (1, -1, "", 0)])], error=0)
    assert await committed(admin, "shop") == {TopicPartition("orders", 0): 7, TopicPartition("orders", 1): -1}


@pytest.mark.parametrize(
    ("code", "error"),
    [(14, GroupLoadInProgressError), (16, NotCoordinatorForGroupError), (30, GroupAuthorizationFailedError)],
)
async def test_a_refusal_is_no_group_without_offsets(code, error) -> None:
    """aiokafka's own call returns nothing then, which would read as a group that has passed nothing."""
    with pytest.raises(error):
        await committed(Admin(topics=[], error=code), "shop")


async def test_a_partition_that_is_refused_is_not_left_out() -> None:
    with pytest.raises(GroupAuthorizationFailedError):
        await committed(Admin(topics=[("orders", [(0, -1, "", 30)])], error=0), "shop")
