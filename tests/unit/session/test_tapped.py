"""A session leads links through taps, and past them again."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import PlanRefused, StackError
from harness.session.tapped import tapped
from harness.stack import Detour
from tests.standin import StandIn

RECORDER: Any = SimpleNamespace(now=lambda: 0, record=lambda *_, **__: 0)
PLAN: Any = SimpleNamespace(taps={"a#1->redis": "redis", "a#1->shop": "http"})


class Stack(StandIn):
    name = "made up"

    def __init__(self, port=0):
        self.led = []
        self._port = port

    def detour(self, link):
        return Detour(f"127.0.0.1:{self._port}", f"{link.partition('->')[2]}:1")

    async def lead(self, link, to):
        self.led.append((link, to))


class Rigid(StandIn):
    name = "rigid"

    def lacks(self, need, on=None):
        return "it cannot bend"


async def test_links_lead_through_taps_while_it_lasts() -> None:
    stack = Stack()
    async with tapped(PLAN, stack, RECORDER) as taps:
        assert taps.links == {"a#1->redis", "a#1->shop"}
        assert stack.led == [("a#1->redis", "127.0.0.1:0"), ("a#1->shop", "127.0.0.1:0")]
    assert stack.led[2:] == [("a#1->shop", None), ("a#1->redis", None)]


class Reached(Stack):
    """A stack whose broker has no listener for each link."""

    rerouted = ("a#1->kafka",)

    def detour(self, link):
        routes = {"broker:9092": "127.0.0.1:9101"} if link in self.rerouted else None
        return Detour(f"127.0.0.1:{self._port}", f"{link.partition('->')[2]}:1", routes)


@pytest.mark.parametrize("wanted", [{}, {"a#1->kafka": "kafka"}])
async def test_a_link_to_a_broker_without_a_listener_for_it_has_a_tap_whatever_is_planned(wanted: Any) -> None:
    stack: Any = Reached()
    plan: Any = SimpleNamespace(taps=wanted)
    async with tapped(plan, stack, RECORDER) as taps:
        assert taps.links == {"a#1->kafka"}
        tap = taps._taps["a#1->kafka"]
        assert (tap._routes, tap._quiet) == ({("broker", 9092): ("127.0.0.1", 9101)}, not wanted)
    assert stack.led == [("a#1->kafka", "127.0.0.1:0"), ("a#1->kafka", None)]


async def test_a_run_that_fails_leaves_the_links_as_they_were() -> None:
    stack = Stack()
    with pytest.raises(RuntimeError):
        async with tapped(PLAN, stack, RECORDER):
            raise RuntimeError("the run failed")
    assert stack.led[2:] == [("a#1->shop", None), ("a#1->redis", None)]


async def test_a_stack_that_cannot_says_why() -> None:
    with pytest.raises(PlanRefused, match="the rigid stack cannot: it cannot bend"):
        async with tapped(PLAN, Rigid(), RECORDER):
            pass


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        stack = Stack(taken.getsockname()[1])
        with pytest.raises(StackError, match="the tap on a#1->redis cannot listen at"):
            async with tapped(PLAN, stack, RECORDER):
                pass
    assert stack.led == []
