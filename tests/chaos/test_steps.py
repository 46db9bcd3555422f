"""Runs in steps on the real stack, right and wrong: all on one warm stack, over the foreign service and two of its flaws."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import oneffect

FOREIGN = Path(__file__).parent / "foreign"
SLOWLY = "120s"
"""How long the system may take to come to rest: a machine is busy at times."""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[oneffect.Session]:
    folder = tmp_path_factory.mktemp("steps")
    command = shlex.join(["python", str(FOREIGN / "shop.py")])
    system = {
        "extends": os.path.relpath(FOREIGN / "system.shipping.yaml", folder),
        "services": {"shop": {"command": command, "env": {"FLAW": "{variant}"}}},
        "variants": {"command": command, "find": {"forwards_headers": [], "ships_twice": ["followup_doubled"]}},
    }
    (folder / "system.yaml").write_text(json.dumps(system))
    claiming = {
        **system,
        "extends": os.path.relpath(FOREIGN / "system.yaml", folder),
        "variants": {"command": command, "find": {"claims_again": ["lost"]}},
    }
    (folder / "claiming.yaml").write_text(json.dumps(claiming))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = oneffect.session(out=folder / "runs", seed=41)
    with made:
        yield made


def test_what_is_right_is_valid_through_faults_that_bit(session: oneffect.Session) -> None:
    with session.system("system.yaml", variant="forwards_headers") as shop:
        assert shop.upload(count=20, retries=20) >= 20
        with shop.fault("redis.lose", on="redis"):
            shop.upload(count=20, retries=20)
        assert shop.drain(SLOWLY)
        with shop.fault("kafka.duplicate", on="orders", count=5):
            shop.upload(count=5, retries=20)
        verdict = shop.verdict(SLOWLY)
        assert verdict.valid, verdict.story()
        shop.assert_exactly_one_effect()
        with pytest.raises(AssertionError, match="raw retained: unknown"):
            shop.assert_raw_retained()
        with pytest.raises(oneffect.UsageError, match="this run is over"):
            shop.upload()
    assert [(one["name"], "bit" in one, "healed" in one) for one in verdict.document["faults"]] == [
        ("redis.lose", True, True),
        ("kafka.duplicate", True, False),
    ]
    with verdict.history() as history:
        assert history.complete
        assert history.sql("SELECT count(DISTINCT upload_id) AS n FROM uploads")[0]["n"] == 45


def test_what_is_wrong_is_invalid_with_its_story(session: oneffect.Session) -> None:
    with session.system("system.yaml", variant="ships_twice") as shop:
        shop.upload(count=20, retries=20)
        with shop.fault("kafka.duplicate", on="orders", count=5):
            pass
        with pytest.raises(AssertionError, match="followup_doubled"):
            shop.assert_exactly_one_effect(SLOWLY)
        verdict = shop.verdict()
    assert verdict.invalid
    assert verdict.anomalies["followup_doubled"] >= 1
    assert "second follow-up" in verdict.story()
    assert f"story: oneffect show {verdict.directory} --event" in verdict.story()


def test_faults_act_at_their_messages_and_what_is_right_is_valid(session: oneffect.Session) -> None:
    with session.system("system.yaml", variant="forwards_headers", taps="all") as shop:
        shop.upload(count=20, retries=20)
        with shop.fault("tap.lose_reply", on="shop->kafka", when={"request": "OffsetCommit", "nth": 2}):
            shop.upload(count=20, retries=20)
        with shop.fault("service.kill", on="shop#1", when={"request": "OffsetCommit", "on": "shop#1->kafka"}):
            shop.upload(count=20)
        verdict = shop.verdict(SLOWLY)
    assert verdict.valid, verdict.story()
    with verdict.history() as history:
        bites = history.sql(
            "SELECT evidence->>'$.what' AS what FROM history WHERE op = 'fault' AND phase = 'bit' ORDER BY i"
        )
    assert ["OffsetCommit" in row["what"] for row in bites] == [True, True]
    (row,) = verdict.document["coverage"]
    assert row["lost"] == {"OffsetCommit": 1}
    assert row["consumer"] == "shop"


def test_a_kill_between_claim_and_effect_shows_what_a_claim_loses(session: oneffect.Session) -> None:
    with session.system("claiming.yaml", variant="claims_again", taps="all") as shop:
        shop.upload(count=20, retries=20)
        with shop.fault("service.kill", on="shop#1", when={"reply": "SET *", "on": "shop#1->redis"}):
            shop.upload(count=20)
        verdict = shop.verdict(SLOWLY)
    assert verdict.invalid, verdict.story()
    assert verdict.anomalies["lost"] == 1
    assert "SET NX" in verdict.story()


def test_a_message_that_never_comes_makes_the_verdict_unknown(session: oneffect.Session) -> None:
    with session.system("system.yaml", variant="forwards_headers", taps="all") as shop:
        shop.upload(count=20, retries=20)
        with shop.fault("tap.lose_reply", on="shop->kafka", when={"request": "OffsetCommit none"}):
            shop.upload(count=2, retries=20)
        verdict = shop.verdict(SLOWLY)
    assert verdict.unknown, verdict.story()
    assert "0 messages matched, and it acts at number 1 of reply 'OffsetCommit none'" in verdict.story()


def test_a_message_that_nobody_sees_is_refused(session: oneffect.Session) -> None:
    when = {"request": "OffsetCommit", "on": "shop#1->kafka"}
    with session.system("system.yaml", variant="forwards_headers") as shop:
        for more, said in (
            ({}, 'no tap is on shop#1->kafka; open the system with taps="all"'),
            ({"after": 3}, "begin the block after these uploads"),
            ({"follows": 1}, "a block has no rows to follow"),
        ):
            with (
                pytest.raises(oneffect.PlanRefused, match=said),
                shop.fault("service.kill", on="shop", when={**when, **more}),
            ):
                raise AssertionError
        shop.verdict(SLOWLY)


def test_a_fault_that_is_still_on_makes_the_verdict_unknown(session: oneffect.Session) -> None:
    with session.system("system.yaml", variant="forwards_headers") as shop:
        shop.upload(count=20, retries=20)
        with shop.fault("net.down", on="shop->redis"):
            shop.upload(count=5, retries=20)
            second = shop.fault("net.hang", on="shop->redis")
            with pytest.raises(oneffect.PlanRefused, match="another fault is on shop#1->redis"), second:
                raise AssertionError
            verdict = shop.verdict()
    assert verdict.unknown, verdict.story()
    assert "fault_not_healed" in verdict.anomalies


def test_what_another_client_of_toxiproxy_leaves_on_makes_it_unknown_too(session: oneffect.Session) -> None:
    with session.system("system.yaml", variant="forwards_headers") as shop:
        shop.upload(count=20, retries=20)
        switch(shop.proxies["shop#1->redis"], enabled=False)
        shop.upload(count=5, retries=20)
        verdict = shop.verdict()
        assert verdict.unknown, verdict.story()
        assert "left on the proxy shop-1.redis: down" in verdict.story()


def switch(proxy: oneffect.Proxy, *, enabled: bool) -> None:
    """Plain HTTP, and the proxy's name as it is."""
    body = json.dumps({"enabled": enabled}).encode()
    url = f"http://{proxy.api}/proxies/{proxy.name}"
    with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})) as answer:
        assert json.load(answer)["enabled"] is enabled


def test_with_nothing_uploaded_it_is_unknown(session: oneffect.Session) -> None:
    async def steps() -> oneffect.Judged:
        async with session.system("system.yaml", variant="forwards_headers") as shop:
            return await shop.verdict(SLOWLY)

    verdict = asyncio.run(steps())
    assert verdict.unknown
    assert "too_few_operations" in verdict.anomalies


def test_what_is_broken_off_leaves_nothing_running(session: oneffect.Session) -> None:
    class BrokenOffError(BaseException):
        pass

    with pytest.raises(BrokenOffError), session.system("system.yaml", variant="forwards_headers") as shop:  # noqa: PT012
        shop.upload(count=5, retries=20)
        with shop.fault("redis.lose", on="redis"):
            raise BrokenOffError
    places = [*shop.addresses.values(), *(proxy.address for proxy in shop.proxies.values())]
    assert [place for place in places if listens(place)] == []


def listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as trial:
        return trial.connect_ex((host, int(port))) == 0
