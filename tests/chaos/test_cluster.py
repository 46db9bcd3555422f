"""A suite whose broker is one of a cluster: the code under test stays on its link whichever broker it talks to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import oneffect
from harness.clients.brokers import brokers
from harness.stacks.native.stack import NativeStack
from tests.chaos.adopted.billing import prepare
from tests.chaos.second_broker import second_broker
from tests.chaos.test_adopt import SLOWLY, SYSTEM, Kafka, Redis, Shop, Suite


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop whose topic has its two partitions on two brokers."""
    stack = NativeStack(SYSTEM, tmp_path / "logs", tmp_path)
    with asyncio.Runner() as runner:
        runner.run(stack.start())
        second = second_broker(stack)
        try:
            runner.run(second.__aenter__())
            kafka, redis = Kafka(stack.direct("kafka")), Redis(stack.direct("redis"))
            with oneffect.session(out=tmp_path / "runs", seed=41) as session:
                suite = Suite(kafka, redis, session)
                suite.topic("Orders")
                prepare(tmp_path / "bills.db")
                yield Shop(suite, "Orders", tmp_path / "bills.db")
            runner.run(second.__aexit__(None, None, None))
        finally:
            runner.run(stack.stop())


@pytest.mark.parametrize("flaw", ["", "setnx"])
def test_a_link_leads_to_every_broker(shop: Shop, flaw: str) -> None:
    assert len(asyncio.run(brokers(shop.suite.kafka.get_bootstrap_server()))) == 2
    with (
        shop.adopted(taps="all") as run,
        shop.billing(run.address("kafka"), run.address("redis"), flaw=flaw),
    ):
        run.publish(count=20)
        with run.fault("net.down", on="kafka"):
            run.publish(count=20)
        with run.fault("tap.lose_reply", on="redis", when={"request": "SET *"}):
            run.publish(count=5)
        verdict = run.verdict(SLOWLY)
    assert verdict.invalid if flaw else verdict.valid, verdict.story()
    assert verdict.anomalies.get("lost", 0) == (1 if flaw else 0)
    assert [bool(one["bit"]) for one in verdict.document["faults"]] == [True, True]
