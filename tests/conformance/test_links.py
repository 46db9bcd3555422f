"""What every link does, whatever it leads to and whatever stack it is of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from harness.clients import sql
from harness.clients.exchange import dial
from harness.stack import Forgetful, Killable, Link, Pausable, ServiceHandle, Stoppable

pytestmark = pytest.mark.asyncio(loop_scope="session")

KINDS = pytest.mark.parametrize("dependency", ["kafka", "redis", "postgres", "peer"])
QUESTION = {
    "kafka": b"\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff",
    "redis": b"PING\r\n",
    "postgres": b"\0\0\0\x08\x04\xd2\x16\x2f",  # may we speak TLS?
    "peer": b"GET / HTTP/1.1\r\nHost: peer\r\n\r\n",
}
DATABASES = "SELECT datname AS name FROM pg_database WHERE datname NOT LIKE 'template%' AND datname <> 'postgres'"


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(120):
        while not await condition():
            await asyncio.sleep(0.01)


def link_to(stack: Any, dependency: str) -> Link:
    found = stack.links[f"user#1->{dependency}"]
    assert isinstance(found, Link)
    return found


@KINDS
async def test_a_probe_is_answered(stack, dependency) -> None:
    probe = await link_to(stack, dependency).probe(5)
    assert probe.answered, probe
    assert not probe.error


@KINDS
async def test_a_refusing_link_ends_connections_and_comes_back(stack, dependency) -> None:
    link = link_to(stack, dependency)
    async with dial(link.address) as (reader, _):
        async with link.refuse():
            assert set(await link.toxics()) == {"down"}
            assert await asyncio.wait_for(reader.read(), 5) == b""
            assert not (await link.probe(1)).answered
            assert (await link.traffic()).connections == {}
        assert (await link.probe(5)).answered


@KINDS
async def test_refusals_that_overlap_last_until_the_last(stack, dependency) -> None:
    link = link_to(stack, dependency)
    async with link.refuse():
        async with link.refuse():
            assert not (await link.probe(1)).answered
        assert not (await link.probe(1)).answered
    assert (await link.probe(5)).answered


@KINDS
async def test_a_toxic_lasts_as_long_as_its_scope(stack, dependency) -> None:
    link = link_to(stack, dependency)
    async with link.disturb("timeout", timeout=0):
        assert not (await link.probe(0.5)).answered
        assert set(await link.toxics()) == {"timeout"}
    assert (await link.probe(5)).answered
    assert not await link.toxics()


@KINDS
async def test_two_toxics_of_one_kind_compose(stack, dependency) -> None:
    link = link_to(stack, dependency)
    async with link.disturb("latency", latency=60), link.disturb("latency", latency=60):
        assert (await link.probe(5)).seconds >= 0.12


@KINDS
async def test_a_toxic_is_off_again_after_an_error(stack, dependency) -> None:
    link = link_to(stack, dependency)
    with pytest.raises(LookupError):
        async with link.disturb("timeout", stream="upstream", timeout=0):
            raise LookupError
    assert (await link.probe(5)).answered


@KINDS
async def test_one_link_s_trouble_is_no_other_s(stack, dependency) -> None:
    async with link_to(stack, dependency).disturb("timeout", timeout=0):
        for other in stack.links.values():
            if other.dependency != dependency:
                assert (await other.probe(5)).answered, other.name


@KINDS
async def test_traffic_counts_the_service_s_bytes_and_leaves_the_probes_out(stack, dependency) -> None:
    link = link_to(stack, dependency)
    before = (await link.traffic()).accepted
    assert (await link.probe(5)).answered
    async with dial(link.address) as (reader, writer):
        port = writer.get_extra_info("sockname")[1]
        writer.write(QUESTION[dependency])
        await reader.read(1)

        async def counted() -> bool:
            received, sent = (await link.traffic()).connections.get(port, (0, 0))
            return received == len(QUESTION[dependency]) and sent > 0

        await until(counted)
        seen = await link.traffic()
        assert set(seen.connections) == {port}
        assert port not in seen.unanswered
        assert before is not None
        assert seen.accepted == before + 1


@KINDS
async def test_a_request_without_an_answer_shows(stack, dependency) -> None:
    link = link_to(stack, dependency)
    async with link.disturb("timeout", timeout=0), dial(link.address) as (_, writer):
        port = writer.get_extra_info("sockname")[1]
        writer.write(QUESTION[dependency])

        async def waiting() -> bool:
            return (await link.traffic()).unanswered.get(port, 0) > 0.1

        await until(waiting)


async def test_a_proxy_whose_api_is_stuck_heals_by_a_restart(stack) -> None:
    """The other toxics of that replica are put back; links of the others are not touched."""
    link, other = link_to(stack, "redis"), link_to(stack, "kafka")
    server = next(process for process in stack.toxiproxies if "user" in process.name)
    async with other.disturb("latency", latency=80):
        async with link.disturb("timeout", timeout=0):
            pid = server.pid
            await server.pause()
        assert server.pid != pid
        assert (await link.probe(5)).answered
        assert (await other.probe(5)).seconds >= 0.08
    assert (await other.probe(5)).answered


@pytest.mark.parametrize("name", ["kafka", "redis", "postgres", "peer#1"])
async def test_a_process_can_be_killed_paused_and_started_again(stack, name) -> None:
    handle = {**stack.dependencies, **stack.services}[name]
    assert isinstance(handle, ServiceHandle)
    assert isinstance(handle, Killable)
    assert isinstance(handle, Stoppable)
    assert isinstance(handle, Pausable)
    await handle.ready(120)
    assert await handle.state() == "ready"
    await handle.pause()
    assert await handle.state() == "paused"
    await handle.resume()
    await handle.ready(120)
    assert await handle.kill() == -9
    assert await handle.state() == "exited"
    assert handle.pid is None
    await handle.start()
    await handle.ready(120)
    assert await handle.state() == "ready"


async def test_a_store_can_forget_only_while_it_is_down(stack) -> None:
    redis = stack.dependencies["redis"]
    assert isinstance(redis, Forgetful)
    with pytest.raises(Exception, match="kill it before"):
        await redis.forget()


@pytest.mark.parametrize("need", [Link, Killable, Stoppable, Pausable, Forgetful])
async def test_what_is_offered_does_not_lack(stack, need) -> None:
    assert stack.lacks(need) is None


async def test_what_is_not_offered_is_said(stack) -> None:
    assert "Link" in (stack.lacks(dict) or "")


async def test_a_service_finds_its_database_and_nobody_else_s(stack) -> None:
    known = await sql.rows(f"postgresql://oneffect@{stack.direct('postgres')}/postgres", DATABASES)
    assert known == [{"name": "links_user"}]
    through = f"postgresql://oneffect@{link_to(stack, 'postgres').address}/links_user"
    assert await sql.rows(through, "SELECT 1 AS one") == [{"one": 1}]
