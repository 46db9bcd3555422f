"""What each consumer reads, and how far it is."""

from harness.observers.offsets import Offsets
from harness.stack import TopicPartition


class Broker:
    def __init__(self) -> None:
        self.commits: dict[TopicPartition, int] = {}
        self.given: dict[TopicPartition, str] | None = None

    async def ends(self, topics):
        return {(topic, 0): 10 for topic in topics}

    async def committed(self, service):
        return dict(self.commits)

    async def assigned(self, service):
        return self.given


TOPICS = {"orders": 1, "audit": 1, "retry": 1}


async def rows(offsets: Offsets) -> list[tuple[object, object]]:
    return [(row["topic"], row["committed"]) async for row in offsets.read(final=False)]


async def test_a_consumer_reads_what_its_group_is_assigned() -> None:
    broker = Broker()
    offsets = Offsets(broker, ["shop"], TOPICS)
    assert await rows(offsets) == []
    broker.given = {("orders", 0): "a member"}
    assert await rows(offsets) == [("orders", None)]
    assert not offsets.committing
    broker.commits, broker.given = {("orders", 0): 3}, {}
    assert await rows(offsets) == [("orders", 3)]
    assert offsets.committing == {"shop"}


async def test_the_system_file_says_what_it_reads_before_anybody_else() -> None:
    broker = Broker()
    broker.given = {("audit", 0): "a member"}
    offsets = Offsets(broker, ["shop"], TOPICS, {"shop": ["orders", "retry"]})
    assert await rows(offsets) == [("orders", None), ("retry", None)]
