"""Same seed, same plan, byte for byte; what cannot be done is refused before anything starts."""

from pathlib import Path

import orjson
import pytest

from harness.errors import FileError, PlanRefused
from harness.load.locust_load import Users
from harness.plan import Plan, make_plan

ROOT = Path(__file__).parents[2]
SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))


def plan(path: Path, *, seed: int = 41, variant: str | None = None, stack: str = "auto") -> Plan:
    return make_plan(path, system_path=None, variant=variant, seed=seed, stack=stack)


def scenario(tmp_path: Path, faults: str = "[]", more: str = "") -> Path:
    path = tmp_path / "one.yaml"
    path.write_text(
        f"oneffect: 1\nname: one\nsystem: {ROOT}/reference_impl/system.yaml\n"
        f"load: {{uploads: 40, rate: 20/s}}\nfaults: {faults}\n{more}"
    )
    return path


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_same_seed_same_plan(path: Path) -> None:
    first, second = plan(path), plan(path)
    assert orjson.dumps(first.document) == orjson.dumps(second.document)
    assert first.digest == second.digest


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_another_seed_or_variant_is_another_plan(path: Path) -> None:
    digests = {plan(path).digest, plan(path, seed=42).digest, plan(path, variant="setnx_only").digest}
    assert len(digests) == 3


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_plan_names_no_place_of_this_machine(path: Path) -> None:
    assert str(ROOT).encode() not in orjson.dumps(plan(path).document)


def test_every_target_is_a_fault_of_its_own(tmp_path: Path) -> None:
    path = scenario(tmp_path, '[{fault: net.down, on: "essay_lifecycle->redis", at: 10%, for: 1s}]')
    assert [fault.target for fault in plan(path).faults] == ["essay_lifecycle#1->redis", "essay_lifecycle#2->redis"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ('{fault: net.hangs, on: "essay_lifecycle->redis", at: 10%, for: 1s}', "net.hang"),
        ('{fault: net.hang, on: "essay_lifecycle->redys", at: 10%, for: 1s}', "redis"),
        ('{fault: net.hang, on: "essay_lifecycle->redis", at: 10%}', "for"),
        ('{fault: net.hang, on: "essay_lifecycle->redis", at: 10%, for: 1s, direktion: both}', "direktion"),
        ("{fault: kafka.duplicate, on: essays, at: 10%, for: 1s, count: 3}", "for"),
        ("{fault: kafka.duplicate, on: essais, at: 10%, count: 3}", "essays"),
        ('{fault: service.kill, on: "essay_lifecycle#3", at: 10%, for: 1s}', "essay_lifecycle#2"),
        ("{fault: redis.lose, at: 10%, for: 1s}", "on"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_by_name(tmp_path: Path, fault: str, said: str) -> None:
    path = scenario(tmp_path, f"[{fault}]")
    with pytest.raises((FileError, PlanRefused)) as refused:
        plan(path)
    assert said in str(refused.value)
    assert "one.yaml" in str(refused.value)


AGAIN = """
oneffect: 1
name: small
dependencies: {kafka: {topics: {orders: 2, letters: 1}}}
services: {shop: {command: python -m shop}}
events: {id: /id, type: /type, topics: [orders]}
load: {upload: {to: shop, post: /orders}}
outcomes: [{of: upload, by: /order, then: [placed]}]
reprocess: {post: "http://{shop}/orders/{upload_id}/again"}
dead_letters: {topic: letters, id: /id, consumer: /consumer, source: /source, kind: /kind}
replay: {command: "python -m shop.again {consumer} {topic}:{partition}:{offset} {topic:letters} {data}"}
"""


def asking_again(tmp_path: Path, system: str, line: str = "{reprocess: 3, at: 50%}") -> Path:
    (tmp_path / "system.yaml").write_text(system)
    path = tmp_path / "one.yaml"
    path.write_text(f"oneffect: 1\nname: one\nload: {{uploads: 40, rate: 20/s}}\nagain:\n  - {line}\n")
    return path


def test_what_is_asked_for_again_is_part_of_the_plan(tmp_path: Path) -> None:
    digests = {plan(asking_again(tmp_path, AGAIN, f"{{{what}, at: 50%}}")).digest for what in WAYS}
    assert len(digests) == len(WAYS)


def test_the_plan_says_where_outcomes_hold_their_keys_as_rules_with_one_place_share_them(tmp_path: Path) -> None:
    rules = "outcomes: [{of: placed, by: [/order, /line], then: [mailed]}, {of: paid, by: /payment, then: [mailed]}, "
    made = plan(asking_again(tmp_path, AGAIN.replace("outcomes: [", rules)))
    assert [rule["by"] for rule in made.document["checks"]["outcomes"]] == ["/order, /line", "/payment", "/order"]


@pytest.mark.parametrize(
    ("taps", "cover", "said"),
    [
        ("", "{cut: claimed}", "only taps see"),
        ("taps: all\n", "{cut: claimed, consumer: essay_lifecycel}", r"nearest: essay_lifecycle\)"),
        ("taps: all\n", "{cut: claimed, consumer: file_service}", "services with effects: batch_orch"),
        ("taps: all\n", "{cut: claimed, lost: SET}", "write either"),
        ("taps: all\n", "{lost: SET, again: same}", "about a delivery that was cut off"),
        ("taps: all\n", "{cut: sometime}", "claimed"),
        ("taps: all\n", "{cut: claimed, least: 0}", "least"),
    ],
)
def test_what_cannot_be_covered_is_refused(tmp_path: Path, taps: str, cover: str, said: str) -> None:
    path = scenario(tmp_path, "[]")
    path.write_text(f"{path.read_text()}\n{taps}covers:\n  - {cover}\n")
    with pytest.raises(FileError, match=said) as refused:
        plan(path)
    assert "one.yaml" in str(refused.value)


WAYS = ["reprocess: 3", "reprocess: 4", "replay: 3", "replay: all"]


@pytest.mark.parametrize(
    ("gone", "line", "said"),
    [
        ("reprocess:", "{reprocess: 3, at: 50%}", "reprocess: the system does not say how"),
        ("replay:", "{replay: all, at: 50%}", "replay: the system does not say how"),
        ("dead_letters:", "{replay: all, at: 50%}", "does not say where its dead letters are"),
        ("outcomes:", "{reprocess: 3, at: 50%}", "has no outcome of an upload"),
    ],
)
def test_what_the_system_cannot_be_asked_again_is_refused(tmp_path: Path, gone: str, line: str, said: str) -> None:
    system = "\n".join(row for row in AGAIN.splitlines() if not row.startswith(gone))
    with pytest.raises(FileError, match=said) as refused:
        plan(asking_again(tmp_path, system, line))
    assert "one.yaml:5" in str(refused.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{reprocess: 3, replay: 1, at: 50%}", "write either"),
        ("{at: 50%}", "write either"),
        ("{reprocess: 0, at: 50%}", "reprocess"),
        ("{replay: some, at: 50%}", "replay"),
        ("{reprocess: 3}", "at"),
    ],
)
def test_a_line_of_again_is_one_thing_at_a_moment(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(FileError, match=said):
        plan(asking_again(tmp_path, AGAIN, line))


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ("/{upload_id}/", "/{upload}/", r"reprocess: \{upload\} is unknown; known: .*upload_id"),
        ("/{upload_id}/", "/{event_id}/", r"reprocess: \{event_id\} is unknown"),
        ("/{upload_id}/", "/{data}/", r"reprocess: \{data\} is unknown"),
        ("{topic:letters}", "{topic:lettres}", r"replay: \{topic:lettres\} is unknown"),
        ("{post: ", "{command: x, post: ", "write either post: or command:"),
        ("{post: ", "{service: shop, post: ", "only a command has a service's environment"),
        ("replay: {", "replay: {service: shops, ", r"replay\.service: no such service; known: shop"),
        ("http://{shop}", "{shop}", "post"),
    ],
)
def test_a_way_to_ask_again_that_cannot_be_is_refused(tmp_path: Path, written: str, instead: str, said: str) -> None:
    assert written in AGAIN
    with pytest.raises(FileError, match=said):
        plan(asking_again(tmp_path, AGAIN.replace(written, instead)))


def test_an_unknown_variant_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(PlanRefused, match="setnx_only"):
        plan(scenario(tmp_path), variant="setnx")


def test_an_expectation_for_no_variant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="setnx_only"):
        plan(scenario(tmp_path, more="variants: {setnx: valid}\n"))


@pytest.mark.parametrize(("stack", "said"), [("external", "--addresses FILE"), ("cloud", "native")])
def test_a_stack_that_is_not_there_is_refused(tmp_path: Path, stack: str, said: str) -> None:
    with pytest.raises(PlanRefused, match=said):
        plan(scenario(tmp_path), stack=stack)


@pytest.mark.parametrize(
    ("starts", "asked", "stack"),
    [
        ("command: python -m shop", "auto", "native"),
        ("image: 'shop:1'", "auto", "docker"),
        ("image: 'shop:1', command: python -m shop", "auto", "native"),
        ("image: 'shop:1', command: python -m shop", "docker", "docker"),
    ],
)
def test_a_service_that_is_an_image_alone_means_docker(tmp_path: Path, starts: str, asked: str, stack: str) -> None:
    assert plan(shop(tmp_path, starts), stack=asked).stack == stack


@pytest.mark.parametrize(
    ("starts", "asked", "said"),
    [("image: 'shop:1'", "native", "has only an image"), ("command: python -m shop", "docker", "has no image")],
)
def test_a_stack_that_cannot_start_a_service_is_refused(tmp_path: Path, starts: str, asked: str, said: str) -> None:
    with pytest.raises(PlanRefused, match=f"services.shop {said}.* --stack"):
        plan(shop(tmp_path, starts), stack=asked)


def shop(folder: Path, starts: str) -> Path:
    path = folder / "one.yaml"
    path.write_text("oneffect: 1\nname: one\nload: {uploads: 40, rate: 20/s}\n")
    (folder / "system.yaml").write_text(
        "oneffect: 1\nname: small\ndependencies: {kafka: {topics: {orders: 2}}}\n"
        f"services: {{shop: {{{starts}}}}}\nevents: {{id: /id, type: /type, topics: [orders]}}\n"
        "load: {upload: {to: shop, post: /orders}}\n"
    )
    return path


def test_batches_are_refused_where_the_front_door_is_not_told_of_them(tmp_path: Path) -> None:
    path, system = tmp_path / "one.yaml", tmp_path / "system.yaml"
    path.write_text("oneffect: 1\nname: one\nload: {batch: 5, uploads: 40, rate: 20/s}\n")
    told = (
        "oneffect: 1\nname: small\ndependencies: {kafka: {topics: {orders: 2}}}\n"
        "services: {shop: {command: python -m shop}}\nevents: {id: /id, type: /type, topics: [orders]}\n"
        'load: {upload: {to: shop, post: /orders, fields: {basket: "{batch}"}}}\n'
    )
    system.write_text(told)
    assert plan(path).scenario.load.batch == 5
    system.write_text(told.replace("{batch}", "none"))
    with pytest.raises(PlanRefused, match=r"load\.batch: the front door takes no batch id"):
        plan(path)


def publishing(folder: Path, more: str = "") -> Path:
    """A scenario beside a system whose load publishes."""
    path = shop(folder, "command: python -m shop")
    system = folder / "system.yaml"
    written, publish = system.read_text(), f'{{topic: orders, value: {{id: "{{id}}", type: t{more}}}}}'
    assert "load: {upload: {to: shop, post: /orders}}" in written
    system.write_text(written.replace("{upload: {to: shop, post: /orders}}", f"{{publish: {publish}}}"))
    return path


def test_users_of_locust_are_refused_where_the_load_publishes(tmp_path: Path) -> None:
    users = Users(count=1, spawn_rate=1.0, duration=1.0, file=tmp_path / "locustfile.py")
    with pytest.raises(PlanRefused, match=r"system\.yaml: load: Locust's users upload over HTTP"):
        make_plan(publishing(tmp_path), system_path=None, variant=None, seed=1, stack="auto", users=users)


def test_batches_are_refused_where_published_events_do_not_name_them(tmp_path: Path) -> None:
    path = publishing(tmp_path)
    path.write_text("oneffect: 1\nname: one\nload: {batch: 5, uploads: 40, rate: 20/s}\n")
    with pytest.raises(PlanRefused, match=r"load\.batch: the events name no batch id; write `batch: "):
        plan(path)
    publishing(tmp_path, ', batch: "{batch}"')
    path.write_text("oneffect: 1\nname: one\nload: {batch: 5, uploads: 40, rate: 20/s}\n")
    assert plan(path).system.load.publish is not None
