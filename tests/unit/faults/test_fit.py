"""A scenario on another system than its own: what that lacks is left out by name, and too little is refused."""

from pathlib import Path

import pytest

from harness.errors import FileError, SystemLacks
from harness.plan import Plan, make_plan

ROOT = Path(__file__).parents[3]

SYSTEM = """
oneffect: 1
name: shop
dependencies: {kafka: {topics: {orders: 4, letters: 1}}@DEPENDENCY@}
services:
  shop: {command: python shop.py, env: {KAFKA: "{kafka}"}}
  billing: {command: python x.py, replicas: 2, env: {KAFKA: "{kafka}"@ENV@}}
  shipping: {command: python x.py, env: {KAFKA: "{kafka}"}}
load: {upload: {to: shop, post: /orders}}
events: {id: /id, type: /type, topics: [orders]}
outcomes: [{of: upload, by: /order, then: [placed]}]
effects:
  billing: &effects {applies: [placed], sql: {url: "sqlite:///{data}/db", query: SELECT 1}}
  shipping: *effects
"""


def planned(folder: Path, rows: str, *, more: str = "", system: str = SYSTEM, given: bool = True) -> Plan:
    text = system.replace("@DEPENDENCY@", "").replace("@ENV@", "")
    (folder / "system.yaml").write_text(text)
    (folder / "one.yaml").write_text(
        f"oneffect: 1\nname: one\nload: {{uploads: 40, rate: 20/s}}\nfaults:\n{rows}{more}"
    )
    where = folder / "system.yaml" if given else None
    return make_plan(folder / "one.yaml", system_path=where, variant=None, seed=1, stack="auto")


KILL = '  - {fault: service.kill, on: "consumers#1", at: 10%, for: 1s}\n'
REDIS = '  - {fault: net.down, on: "consumers->redis", at: 10%, for: 1s}\n'
SCALE = "  - {fault: service.scale, on: consumers, at: 50%, for: 1s, to: 1}\n"


def test_a_row_that_the_system_has_nothing_for_is_left_out_by_name(tmp_path: Path) -> None:
    plan = planned(tmp_path, REDIS + KILL)
    assert [(fault.id, fault.fault.name, fault.target) for fault in plan.faults] == [
        ("f1", "service.kill", "billing#1"),
        ("f2", "service.kill", "shipping#1"),
    ]
    assert [one.document() for one in plan.left_out] == [
        {"what": "net.down", "on": "consumers->redis", "why": "the system has no dependency of kind redis"}
    ]
    assert plan.document["left_out"] == [one.document() for one in plan.left_out]
    assert [line.on for line in plan.scenario.faults] == ["consumers#1"]
    assert plan.document["roles"] == {"consumers#1": ["billing#1", "shipping#1"]}


def test_of_a_row_only_the_target_that_cannot_be_is_left_out(tmp_path: Path) -> None:
    plan = planned(tmp_path, SCALE)
    assert [fault.target for fault in plan.faults] == ["billing"]
    assert [one.said for one in plan.left_out] == [
        "service.scale on shipping (to: shipping has 1 replicas; write a smaller number)"
    ]
    assert [line.on for line in plan.scenario.faults] == ["billing"], "as it can be planned again"


def test_a_dependency_that_a_replica_is_to_be_cut_off_from_may_be_lacking(tmp_path: Path) -> None:
    rows = '  - {fault: net.partition, on: "consumers#1", from: [redis], at: 10%, for: 1s}\n'
    cached = SYSTEM.replace("@DEPENDENCY@", ", cache: {kind: redis}").replace("@ENV@", ', CACHE: "{cache}"')
    plan = planned(tmp_path, rows, system=cached)
    assert [fault.target for fault in plan.faults] == ["billing#1"]
    assert [one.on for one in plan.left_out] == ["shipping#1"]
    assert plan.roles["redis"] == ["cache"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (REDIS, r"one\.yaml:5: faults\[0\]: the system has no dependency of kind redis"),
        (SCALE, "shipping has 1 replicas"),
    ],
)
def test_in_its_own_system_what_is_lacking_is_a_mistake(tmp_path: Path, rows: str, said: str) -> None:
    with pytest.raises(FileError, match=said):
        planned(tmp_path, rows, given=False)


@pytest.mark.parametrize(
    "row",
    [
        '  - {fault: net.down, on: "consumers->redys", at: 10%, for: 1s}\n',
        '  - {fault: net.down, on: "billings->redis", at: 10%, for: 1s}\n',
        '  - {fault: service.kill, on: "billing#3", at: 10%, for: 1s}\n',
        '  - {fault: net.down, on: "consumers->redis", at: 10%}\n',
        "  - {fault: service.scale, on: shipping, at: 50%, for: 1s, to: 1}\n",
        '  - {fault: tap.lose_reply, on: "consumers->kafka", when: {reply: "Fetsh *"}}\n',
    ],
)
def test_a_mistake_is_no_lack(tmp_path: Path, row: str) -> None:
    with pytest.raises(FileError, match=r"one\.yaml:6: faults\[1\]"):
        planned(tmp_path, KILL + row)


CLAIMED = '  - {fault: service.kill, on: "consumers#1", at: 10%, for: 1s, when: {reply: "SET*", on: "consumers#1->redis"}}\n'


def test_a_row_whose_message_no_link_has_is_left_out_by_name(tmp_path: Path) -> None:
    plan = planned(tmp_path, CLAIMED + KILL)
    assert [(fault.target, fault.when) for fault in plan.faults] == [("billing#1", None), ("shipping#1", None)]
    assert {(one.on, one.why) for one in plan.left_out} == {
        (name, "it acts at a message on consumers#1->redis: the system has no dependency of kind redis")
        for name in ("billing#1", "shipping#1")
    }


def test_of_such_a_row_the_target_that_has_the_link_is_left_and_acts_at_its_own_message(tmp_path: Path) -> None:
    system = SYSTEM.replace("@DEPENDENCY@", ", redis: {}").replace("@ENV@", ', REDIS: "{redis}"')
    plan = planned(tmp_path, CLAIMED, system=system)
    assert [(fault.target, fault.when and fault.when.links) for fault in plan.faults] == [
        ("billing#1", ("billing#1->redis",))
    ]
    assert [one.said for one in plan.left_out] == [
        "service.kill on shipping#1 (it acts at a message on consumers#1->redis: shipping#1 has no link to redis)"
    ]
    (line,) = plan.scenario.faults
    assert (line.on, line.when and line.when.on) == ("billing#1", "billing#1->redis")


LOSE = "  - {fault: redis.lose, on: redis, at: 80%, for: 1s}\n"
BILLS = 'redis: {keys: "bills:{run}", id: /event_id}'
BALANCES = 'redis: {keys: "balance:{id}", on: NAME}, adds: /data/amount, by: /data/account'


@pytest.mark.parametrize("name", ["redis", "cache"])
@pytest.mark.parametrize("read", [BILLS, f"total: {{{BALANCES}}}"])
def test_a_store_that_holds_effects_is_not_emptied(tmp_path: Path, name: str, read: str) -> None:
    """By its name or its role: whatever the services do, what the faults removed would be missing."""
    system = SYSTEM.replace("@DEPENDENCY@", f", {name}: {{kind: redis}}")
    held = system.replace("  shipping: *effects", f"  shipping: {{applies: [placed], {read.replace('NAME', name)}}}")
    plan = planned(tmp_path, KILL + LOSE, system=held)
    assert {fault.fault.name for fault in plan.faults} == {"service.kill"}
    assert [one.said for one in plan.left_out] == [
        f"redis.lose on {name} (the effects of shipping are read from {name}, and would be gone; redis.restart keeps them)"
    ]
    with pytest.raises(FileError, match=rf"one\.yaml:6: faults\[1\]: the effects of shipping are read from {name}"):
        planned(tmp_path, KILL + LOSE.replace("on: redis", f"on: {name}"), system=held, given=False)
    assert not planned(tmp_path, LOSE, system=system).left_out
    apart = held.replace("kafka: {", "claims: {kind: redis}, kafka: {").replace(
        "/event_id}", f"/event_id, on: {name}}}"
    )
    plan = planned(tmp_path, LOSE.replace("on: redis", "on: claims"), system=apart, given=False)
    assert [fault.target for fault in plan.faults] == ["claims"]


def test_a_scenario_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemLacks, match=r"fits .*net\.down on consumers->redis \(the system has no"):
        planned(tmp_path, REDIS)


def test_a_scenario_without_what_it_is_about_is_refused(tmp_path: Path) -> None:
    for given in (True, False):
        with pytest.raises(
            SystemLacks, match=r"one does not fit .*system\.yaml: the system has no dependency of kind redis"
        ):
            planned(tmp_path, KILL, more='needs: ["consumers->redis"]\n', given=given)
    with pytest.raises(SystemLacks, match="the system has no topic of dead letters"):
        planned(tmp_path, KILL, more="needs: [dead_letters]\n")
    assert planned(tmp_path, KILL, more='needs: [kafka, consumed, "front->kafka"]\n').faults


def test_what_cannot_be_asked_again_is_left_out_and_refused_if_nothing_else_was_to_be_asked(tmp_path: Path) -> None:
    asks = "again:\n  - {reprocess: 3, at: 50%}\n"
    with pytest.raises(
        SystemLacks, match=r"none of the requests of one fits .*reprocess \(the system does not say how"
    ):
        planned(tmp_path, KILL, more=asks)
    says = SYSTEM + 'reprocess: {post: "http://{shop}/orders/{upload_id}/again"}\n'
    plan = planned(tmp_path, KILL, more=asks + "  - {replay: all, at: 60%}\n", system=says)
    assert [line.op for line in plan.scenario.again] == ["reprocess"]
    assert [one.what for one in plan.left_out] == ["replay"]


def test_variants_of_another_system_are_not_expected(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="the system has no variant 'broken'"):
        planned(tmp_path, KILL, more="variants: {broken: invalid}\n", given=False)
    assert planned(tmp_path, KILL, more="variants: {broken: invalid}\n").scenario.variants == {}
    has = SYSTEM + 'variants: {command: "python {variant}", find: {broken: [lost]}}\n'
    plan = planned(tmp_path, KILL, more="variants: {broken: invalid, other: invalid}\n", system=has)
    assert list(plan.scenario.variants) == ["broken"]


ESSAYS = "essay_lifecycle"
REFERENCE = {
    "control": [],
    "redelivery": [
        ("net.latency", f"{ESSAYS}#1->content_service"),
        ("net.latency", f"{ESSAYS}#2->content_service"),
        ("service.kill", f"{ESSAYS}#1"),
        ("kafka.duplicate", "essays"),
        ("service.kill", f"{ESSAYS}#2"),
        ("service.kill", f"{ESSAYS}#1"),
        ("kafka.redeliver", ESSAYS),
        ("kafka.duplicate", "essays"),
    ],
    "redis-outage": [
        ("net.hang", f"{ESSAYS}#1->redis"),
        ("net.hang", f"{ESSAYS}#2->redis"),
        ("kafka.duplicate", "essays"),
        ("net.down", f"{ESSAYS}#1->redis"),
        ("net.down", f"{ESSAYS}#2->redis"),
        ("kafka.duplicate", "essays"),
        ("redis.lose", "redis"),
        ("kafka.redeliver", ESSAYS),
    ],
    "network": [
        ("net.latency", f"{ESSAYS}#1->kafka"),
        ("net.latency", f"{ESSAYS}#2->kafka"),
        ("net.latency", f"{ESSAYS}#1->redis"),
        ("net.latency", f"{ESSAYS}#2->redis"),
        ("net.latency", "file_service#1->content_service"),
        ("net.reset", f"{ESSAYS}#1->redis"),
        ("net.reset", f"{ESSAYS}#2->redis"),
        ("net.latency", f"{ESSAYS}#1->content_service"),
        ("net.latency", f"{ESSAYS}#2->content_service"),
        ("net.hang", f"{ESSAYS}#1->redis"),
        ("kafka.duplicate", "essays"),
        ("net.partition", f"{ESSAYS}#1"),
        ("net.reset", "file_service#1->kafka"),
        ("net.reset", "file_service#1->content_service"),
        ("net.down", "file_service#1->content_service"),
    ],
    "malformed": [("kafka.malformed", "essays"), ("service.kill", f"{ESSAYS}#1")],
    "reprocess": [
        ("net.reset", "file_service#1->content_service"),
        ("net.latency", "file_service#1->content_service"),
        ("service.kill", "file_service#1"),
    ],
}


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("given", ["as its own system", "beside it"])
def test_on_the_reference_the_standard_scenarios_are_what_they_were_by_name(name: str, given: str) -> None:
    path = ROOT / "reference_impl" / "system.lifecycle.yaml" if given == "beside it" else None
    plan = make_plan(ROOT / "scenarios" / f"{name}.yaml", system_path=path, variant=None, seed=41, stack="auto")
    assert [(fault.fault.name, fault.target) for fault in plan.faults] == REFERENCE[name]
    assert plan.left_out == ()
    assert [fault.id for fault in plan.faults] == [f"f{number}" for number in range(1, len(plan.faults) + 1)]


@pytest.mark.parametrize("name", REFERENCE)
def test_the_standard_scenarios_hit_every_consumer_of_the_pipeline(name: str) -> None:
    path = ROOT / "reference_impl" / "system.yaml"
    plan = make_plan(ROOT / "scenarios" / f"{name}.yaml", system_path=path, variant=None, seed=41, stack="auto")
    assert plan.left_out == ()
    killed = {fault.target for fault in plan.faults if fault.fault.name == "service.kill"}
    if name == "redelivery":
        consumers = [ESSAYS, "batch_orchestrator", "spell_checker", "cj_assessment"]
        assert killed == {f"{name}#{n}" for name in consumers for n in (1, 2)}
