"""Whole runs over a service that shares no code with the reference: what each of its flaws must come out as, and must not."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.stacks.native.parts import require

FOREIGN = Path(__file__).parent / "foreign"
ONEFFECT = str(Path(sys.executable).with_name("oneffect"))
PATIENCE = 600.0
LANES = 2
"""Runs at a time: most of a run is waiting."""
UPLOADS = 30
VALID, INVALID, UNKNOWN, NOT_STARTED = (frozenset({status}) for status in (0, 1, 3, 4))
"""Exit statuses."""


@dataclass(frozen=True, eq=False)
class Case:
    """A run and what must come of it: ``finds`` and ``never`` are anomalies (and warnings), ``says`` stands in its output."""

    name: str
    exits: frozenset[int]
    flaw: str = ""
    finds: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    faults: str = "[]"
    drain: str = "20s"
    uploads: int = UPLOADS
    system: str = "system.yaml"
    replicas: int = 1
    taps: bool = False
    commits: str = "after_effect"
    query: str = "SELECT event AS id, name AS effect FROM effects"
    ledgers: tuple[str, ...] = ()
    """Further services, which run ledger.py; they have the flaw, and the shop has none."""
    effects: Mapping[str, Any] = field(default_factory=dict)
    dependencies: Mapping[str, Any] = field(default_factory=dict)
    decode: Mapping[str, str] | None = None
    encode: Mapping[str, str] | None = None
    load: Mapping[str, Any] = field(default_factory=dict)
    events: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


STANDSTILL = ("stalled", "lost", "outcome_missing", "followup_missing")
HAZARDS = (
    "claim_released_by_another",
    "claim_asked_again",
    "offset_sent_before_effect",
    "published_before_effect",
)
DUPLICATE = "[{fault: kafka.duplicate, on: orders, at: 60%, count: 5}]"
SHELF = {"shelf": {"command": f"{shlex.join(['python', str(FOREIGN / 'shelf.py')])} {{port}} {{data}}/words"}}
AVRO, OF_AVRO, BREAKING = (
    {"command": shlex.join(["python", str(FOREIGN / "order_avro.py"), way])} for way in ("decode", "encode", "break")
)
# By the clock, a kill rarely meets work of a millisecond.
KILLED_AT_ITS_OFFSET = (
    "{fault: service.kill, on: 'purse#1', when: {request: OffsetCommit *, on: 'purse#1->kafka', nth: 4}, for: 1s}"
)
KILLED_AT_RECEIPT = (
    "[{fault: service.kill, on: 'shop#1', when: {reply: OffsetCommit shop, on: 'shop#1->kafka', nth: 5}, for: 1s}]"
)
MALFORMED = "[{fault: kafka.malformed, on: orders, at: 60%, count: 4, kinds: [bytes]}]"
SAMPLES = ("a.txt", "b/c.txt", "b/d.txt")
"""Files of the user's own, in the folder samples."""
LEDGERS = ("billing", "printer", "purse")
KEPT = shlex.join(["python", str(FOREIGN / "kept.py")])
FORMS = {
    "clerk": {"command": f"{KEPT} bills"},
    "stacker": {},
    "usher": {},
    "filer": {},
    "teller": {"total": {"command": f"{KEPT} accounts"}},
}
"""The consumers of system.forms.yaml, and what is not the same wherever the system file is."""


def _client(flaw: str = "") -> dict[str, Any]:
    """A load of which client.py is the client."""
    words = shlex.join(["python", str(FOREIGN / "client.py"), "http://SHOP", flaw])
    return {"upload": None, "command": {"run": words.replace("SHOP", "{shop}"), "template": CLIENTS, "to": "shop"}}


TWO = ["/data/order", "/data/upload"]
OF_TWO = "SELECT json_array(printf('A-%04d', number), upload) AS id, name AS effect FROM effects JOIN uploads USING (event)"
CLIENTS = {"id": "{id}", "n": "{n}", "amount": "{number:1..9}"}
BILLED_IN_AVRO = {"printer": {"topic": {"id": "/data/order", "only": {"/type": "placed"}, "decode": AVRO}}}
ACCOUNT = "'acc-' || (CAST(substr(order_number, 3) AS INTEGER) % 5)"
"""An order's account, by its number."""
CASES = [
    Case(
        "as_it_is",
        VALID,
        faults="""
          - {fault: net.latency, on: "shop->kafka", at: 20%, for: 1s, latency: 100ms}
          - {fault: service.kill, on: "shop#1", at: 60%, for: 1s}""",
    ),
    Case(
        "no_redis",
        UNKNOWN,
        flaw="no_redis",
        finds=("fault_never_bit",),
        never=("window_too_quiet", "too_few_operations", *STANDSTILL),
        says=("has no connection on shop#1->redis, and never made one",),
        faults="""
          - {fault: net.down, on: "shop->redis", at: 30%, for: 1s}
          - {fault: kafka.redeliver, on: shop, at: 60%, count: 5}""",
    ),
    Case(
        "never_subscribes",
        INVALID,
        flaw="never_subscribes",
        finds=("lost", "offsets_unseen"),
        never=("stalled", "outcome_missing"),
        says=("shop commits no offset",),
        drain="5s",
    ),
    Case(
        "own_offsets",
        VALID,
        flaw="own_offsets",
        finds=("offsets_unseen",),
        says=("shop committed no offset: it keeps them elsewhere, or never read",),
    ),
    Case(
        "own_offsets_skips",
        INVALID,
        flaw="own_offsets_skips",
        finds=("lost", "offsets_unseen"),
        never=("stalled",),
        says=("shop commits no offset",),
    ),
    Case("forwards_headers", VALID, flaw="forwards_headers", faults=DUPLICATE, system="system.shipping.yaml"),
    Case(
        "ships_twice",
        INVALID,
        flaw="ships_twice",
        finds=("followup_doubled",),
        never=("followup_missing", "duplicate"),
        faults=DUPLICATE,
        system="system.shipping.yaml",
    ),
    Case(
        "never_json",
        UNKNOWN | INVALID,
        flaw="never_json",
        finds=("unexercised",),
        never=("lost",),
        says=("malformed", "not JSON"),
        drain="5s",
    ),
    Case(
        "wrong_query",
        NOT_STARTED,
        query="SELECT event AS id, name AS effect FROM entries",
        says=("effects.shop", "no such table: entries"),
    ),
    Case(
        "named_by_order",
        UNKNOWN,
        flaw="named_by_order",
        finds=("multiplicity_unseen",),
        says=("named by what their events carry ({/data/order})",),
    ),
    Case("uppercase", VALID, flaw="uppercase"),
    Case(
        "slow",
        UNKNOWN,
        flaw="slow",
        finds=("not_at_rest",),
        never=STANDSTILL,
        says=("records a second", "lengthen `drain`"),
        drain="3s",
        uploads=10
        * UPLOADS,  # more than it can apply in a slow load and the minute beyond `drain` that it gets, for it moves
    ),
    Case(
        "published",
        VALID,
        drain="60s",
        never=("published_twice",),
        faults="""
          - {fault: service.kill, on: "shop#1", when: {request: OffsetCommit *, on: "shop#1->kafka", nth: 4}, for: 1s}
          - {fault: kafka.duplicate, on: orders, at: 70%, count: 5}""",
        system="system.published.yaml",
    ),
    Case("published_and_skipped", INVALID, flaw="own_offsets_skips", finds=("lost",), system="system.published.yaml"),
    Case(
        "names_no_event",
        VALID,
        faults=f"{DUPLICATE.removesuffix(']')}, {KILLED_AT_ITS_OFFSET}]",
        system="system.ledger.yaml",
        ledgers=LEDGERS,
    ),
    Case(
        "forgets",
        INVALID,
        flaw="forgets",
        finds=("duplicate", "total_wrong"),
        never=("lost", "phantom", "keys_differ", "key_shared", "total_undecided", "total_cancels"),
        says=("applied it 2 times", "purse: the total of acc-"),
        faults=DUPLICATE,
        system="system.ledger.yaml",
        ledgers=LEDGERS,
    ),
    Case(
        "avro_billed",
        VALID,
        faults=DUPLICATE,
        system="system.ledger.yaml",
        ledgers=LEDGERS,
        effects=BILLED_IN_AVRO,
    ),
    Case(
        "avro_billed_forgets",
        INVALID,
        flaw="forgets",
        finds=("duplicate",),
        never=("lost", "phantom", "keys_differ"),
        faults=DUPLICATE,
        system="system.ledger.yaml",
        ledgers=LEDGERS,
        effects=BILLED_IN_AVRO,
    ),
    Case(
        "other_forms",
        VALID,
        never=("multiplicity_unseen",),
        faults=DUPLICATE,
        system="system.forms.yaml",
        ledgers=(*FORMS,),
        effects=FORMS,
    ),
    Case(
        "other_forms_forget",
        INVALID,
        flaw="forgets",
        finds=("duplicate", "total_wrong"),
        never=("lost", "phantom", "keys_differ", "effect_vanished"),
        says=("applied it 2 times", "teller: the total of acc-"),
        faults=DUPLICATE,
        system="system.forms.yaml",
        ledgers=(*FORMS,),
        effects=FORMS,
    ),
    Case(
        "letters_by_headers",
        VALID,
        faults=MALFORMED,
        system="system.letters.yaml",
    ),
    Case(
        "corrupted",
        VALID,
        faults="""
          - {fault: tap.corrupt, on: "shop#1->kafka", when: {request: Produce orders, nth: 5}}""",
        system="system.letters.yaml",
    ),
    Case(
        "corrupted_and_misplaced",
        INVALID,
        flaw="misplaces",
        finds=("neither",),
        never=("outcome_missing",),
        faults="""
          - {fault: tap.corrupt, on: "shop#1->kafka", when: {request: Produce orders, nth: 20}}""",
        system="system.letters.yaml",
    ),
    Case(
        "letters_misplaced",
        INVALID,
        flaw="misplaces",
        finds=("neither", "effect_and_dead_letter"),
        never=("lost", "record_unreadable"),
        faults=MALFORMED,
        system="system.letters.yaml",
    ),
    Case(
        "key_of_several",
        UNKNOWN,
        finds=("key_shared",),
        never=("lost", "duplicate", "phantom", "keys_differ"),
        says=("key acc-1: ", "events that billing must apply have it at /data/account"),
        system="system.ledger.yaml",
        ledgers=LEDGERS,
        effects={
            "billing": {
                "by": "/data/account",
                "sql": {"query": f"SELECT {ACCOUNT} AS id, number AS effect FROM bills"},
            }
        },
    ),
    Case(
        "json_front_door",
        VALID,
        never=("refused_wrongly",),
        faults='[{fault: service.kill, on: "shop#1", at: 40%, for: 1s}]',
        system="system.json.yaml",
    ),
    Case(
        "shelf",
        VALID,
        faults="""
          - {fault: net.down, on: shop->shelf, at: 5%, for: 1s}
          - {fault: net.latency, on: shop->shelf, at: 20%, for: 1s, latency: 200ms}
          - {fault: net.hang, on: shop->shelf, at: 35%, for: 1s}
          - {fault: net.reset, on: shop->shelf, at: 50%, for: 1s}
          - {fault: net.bandwidth, on: shop->shelf, at: 65%, for: 1s, rate: 1KiB/s}
          - {fault: net.partition, on: shelf, at: 80%, for: 1s}""",
        uploads=10 * UPLOADS,
        system="system.shelf.yaml",
        dependencies=SHELF,
    ),
    Case(
        "a_connection_a_request",
        VALID,
        faults=f"[{', '.join(f'{{fault: net.down, on: shop->shelf, at: {share}%, for: 1s}}' for share in range(10, 90, 10))}]",
        uploads=10 * UPLOADS,
        system="system.shelf.yaml",
        dependencies=SHELF,
    ),
    Case(
        "shelf_decides",
        INVALID,
        flaw="shelf_decides",
        finds=("lost",),
        faults="[{fault: net.down, on: shop->shelf, at: 40%, for: 1s}]",
        system="system.shelf.yaml",
        dependencies=SHELF,
    ),
    Case(
        "claims_elsewhere",
        INVALID,
        flaw="claims_again",
        finds=("lost", "claim_asked_again"),
        faults="""
          - {fault: tap.lose_reply, on: "shop#1->redis", when: {reply: "SET claim:*", nth: 5}}""",
        dependencies={
            "redis": {
                "kind": "tcp",
                "command": "VALKEY --bind 127.0.0.1 --port {port} --dir {data} --save ''",
                "ping": {"send": r"PING\r\n", "answer": "+PONG"},
                "speaks": "redis",
            }
        },
    ),
    Case(
        "avro",
        VALID,
        faults="""
          - {fault: kafka.duplicate, on: orders, at: 40%, count: 5}
          - {fault: kafka.redeliver, on: shop, at: 50%, count: 5}
          - {fault: kafka.malformed, on: orders, at: 60%, count: 4}""",
        system="system.avro.yaml",
        decode=AVRO,
    ),
    Case(
        "avro_skipped",
        INVALID,
        flaw="own_offsets_skips",
        finds=("lost",),
        never=("phantom", "record_unreadable"),
        system="system.avro.yaml",
        decode=AVRO,
    ),
    Case(
        "avro_published",
        VALID,
        faults=DUPLICATE,
        never=("unexercised",),
        system="system.avro-published.yaml",
        decode=AVRO,
        encode=OF_AVRO,
    ),
    Case(
        "avro_misencoded",
        NOT_STARTED,
        system="system.avro-published.yaml",
        says=("oneffect: encode: events.decode cannot decode what it made",),
        decode=AVRO,
        encode=AVRO,
    ),
    Case(
        "avro_breaks",
        UNKNOWN,
        finds=("read_failed",),
        never=STANDSTILL,
        says=("decode: it ended with status 1; it said: the schema is gone",),
        system="system.avro.yaml",
        drain="5s",
        decode=BREAKING,
    ),
    Case(
        "avro_undecoded",
        NOT_STARTED,
        system="system.avro.yaml",
        says=("decode: it ended with status",),
        decode={"command": "python no-such-decoder.py"},
    ),
    Case(
        "client",
        VALID,
        load=_client(),
        faults="""
          - {fault: net.latency, on: "shop->kafka", at: 20%, for: 1s, latency: 100ms}
          - {fault: service.kill, on: front, at: 60%, for: 1s}""",
    ),
    Case(
        "client_lies",
        INVALID,
        finds=("outcome_missing",),
        never=("lost", "duplicate"),
        drain="5s",
        load=_client("lies"),
    ),
    Case(
        "client_dies",
        NOT_STARTED,
        says=("load.command: it ended with status 1; it said: no more orders",),
        load=_client("dies"),
    ),
    Case("id_of_two_fields", VALID, faults=DUPLICATE, events={"id": TWO}, query=OF_TWO),
    Case(
        "id_of_two_fields_skips",
        INVALID,
        flaw="own_offsets_skips",
        finds=("lost",),
        never=("phantom", "duplicate"),
        events={"id": TWO},
        query=OF_TWO,
    ),
    Case(
        "id_of_two_fields_named_by_one",
        NOT_STARTED,
        says=("effects.shop: `id` is", "so it must be a JSON array of 2 values"),
        events={"id": TWO},
        query="SELECT upload AS id, name AS effect FROM effects JOIN uploads USING (event) UNION SELECT 'a', 'b'",
    ),
    Case(
        "own_files",
        VALID,
        system="system.json.yaml",
        load={"upload": {"files": {"folder": "samples", "generated": False}}},
    ),
    Case("stuck", INVALID, flaw="stuck", finds=("stalled",), never=("lost", "outcome_missing"), drain="5s"),
    Case(
        "tapped",
        VALID,
        never=HAZARDS,
        replicas=2,
        taps=True,
        faults="""
          - {fault: service.kill, on: "shop#1", when: {request: OffsetCommit shop, on: "shop#1->kafka", nth: 3}, for: 1s}""",
    ),
    Case(
        "claims_again",
        INVALID,
        flaw="claims_again",
        finds=("lost", "claim_asked_again"),
        says=("and was denied its own claim",),
        faults="""
          - {fault: tap.lose_reply, on: "shop#1->redis", when: {reply: "SET claim:*", nth: 5}}""",
    ),
    Case(
        "releases_anothers",
        INVALID,
        flaw="releases_anothers",
        finds=("lost", "claim_released_by_another"),
        says=("shop#2 released claim:",),
        replicas=2,
        taps=True,
        # A session takes 1.5 s to run out, then the other replica is given what the dead one had claimed.
        faults="""
          - {fault: service.kill, on: "shop#1", when: {reply: "SET claim:*", on: "shop#1->redis", nth: 3}, for: 8s}""",
    ),
    Case(
        "on_receipt",
        VALID,
        flaw="on_receipt",
        commits="on_receipt",
        taps=True,
        never=HAZARDS,
        faults=KILLED_AT_RECEIPT,
    ),
    Case(
        "on_receipt_undeclared",
        INVALID,
        flaw="on_receipt",
        finds=("premature_commit",),
        says=("write `commits: on_receipt`",),
    ),
    Case(
        "on_receipt_in_mind",
        INVALID,
        flaw="on_receipt_in_mind",
        commits="on_receipt",
        finds=("lost",),
        never=("premature_commit",),
        says=("nothing had moved for",),
        faults=KILLED_AT_RECEIPT,
    ),
    Case(
        "tells_first",
        INVALID,
        flaw="tells_first",
        finds=("offset_sent_before_effect", "published_before_effect", "premature_commit"),
        never=("lost", "followup_missing"),
        says=("shop#1 sent the commit of its offset", "shop#1 sent its follow-up"),
        system="system.shipping.yaml",
        taps=True,
        drain="60s",
    ),
]


CORE = {
    *(
        "as_it_is",
        "wrong_query",
        "stuck",
        "tapped",
        "claims_again",
        "forgets",
        "other_forms",
        "shelf_decides",
        "client",
        "corrupted",
        "on_receipt",
    ),
}
"""The cases of `make test`; the others are further ones of the same kinds."""


def _case(case: Case) -> Any:
    return pytest.param(case, marks=[] if case.name in CORE else [pytest.mark.wide])


@dataclass(frozen=True)
class Ran:
    """A run that is over: how it ended, what it said, and what it left."""

    exits: int
    said: str
    history: list[dict[str, Any]]
    verdict: dict[str, Any]

    def found(self) -> dict[str, Any]:
        """Anomalies and warnings, by name."""
        return {name: one for finding in self.verdict["findings"] for name, one in _named(finding)}

    def uploads(self) -> set[str]:
        return {one["upload_id"] for one in self.history if one.get("op") == "upload"}


def _named(finding: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [*finding["anomalies"].items(), *finding["warnings"].items()]


def whole(case: Case, folder: Path) -> Ran:
    programs = {"shop": "shop.py", **dict.fromkeys(case.ledgers, "ledger.py")}
    flawed = case.ledgers or ("shop",)
    system = {
        "extends": os.path.relpath(FOREIGN / case.system, folder),
        "services": {
            name: {
                "command": shlex.join(["python", str(FOREIGN / program)]),
                "env": {"FLAW": case.flaw if name in flawed else ""},
                "replicas": case.replicas,
                "commits": case.commits,
            }
            for name, program in programs.items()
        },
        "dependencies": case.dependencies,
        "effects": {"shop": {"sql": {"query": case.query}}, **case.effects},
        "events": {"decode": case.decode, **case.events},
        "load": {"publish": {"encode": case.encode}} if case.encode is not None else case.load,
    }
    for name in SAMPLES:
        (folder / "samples" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "samples" / name).write_text(f"what is in {name}")
    (folder / "system.yaml").write_text(json.dumps(system).replace("VALKEY", str(require().redis)))
    (folder / f"{case}.yaml").write_text(
        f"oneffect: 1\nname: {case}\ndrain: {case.drain}\nfaults: {case.faults}\n"
        f"{'taps: all' if case.taps else ''}\n"
        f"load: {{uploads: {case.uploads}, rate: 15/s, rejected: 0%, retries: 20}}\n"
    )
    words = [ONEFFECT, "run", f"{case}.yaml", "--system", "system.yaml", "--out", "runs", "--seed", "1"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE)
    latest = folder / "runs" / "latest"
    assert (latest / "history.jsonl").is_file(), done.stderr
    history = [json.loads(line) for line in (latest / "history.jsonl").read_text().splitlines()]
    judged = latest / "verdict.json"
    verdict = json.loads(judged.read_text()) if judged.is_file() else {"findings": []}
    return Ran(done.returncode, done.stdout + done.stderr, history, verdict)


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Case, Future[Ran]]]:
    """The runs of all cases that were asked for, some at a time."""
    mine = [one for one in request.session.items if isinstance(one, pytest.Function) and one.module is request.module]
    asked: dict[Any, None] = dict.fromkeys(one.callspec.params["case"] for one in mine)
    with ThreadPoolExecutor(LANES) as lanes:
        yield {case: lanes.submit(whole, case, tmp_path_factory.mktemp(case.name)) for case in asked}
        lanes.shutdown(cancel_futures=True)


def named(name: str) -> Any:
    """Asks for one case by its name."""
    return pytest.mark.parametrize("case", [_case(one) for one in CASES if one.name == name], ids=str)


@pytest.mark.parametrize("case", [_case(one) for one in CASES], ids=str)
def test_what_comes_of_it(runs: dict[Case, Future[Ran]], case: Case) -> None:
    ran = runs[case].result()
    assert ran.exits in case.exits, ran.said
    assert set(case.finds) <= ran.found().keys(), ran.said
    assert not set(case.never) & ran.found().keys(), ran.said
    assert [words for words in case.says if words not in ran.said] == [], ran.said


@named("no_redis")
def test_what_cannot_bite_holds_up_neither_the_load_nor_the_schedule(
    runs: dict[Case, Future[Ran]], case: Case
) -> None:
    ran = runs[case].result()
    assert len(ran.uploads()) < 5 * UPLOADS
    begun = [one["name"] for one in ran.history if (one.get("op"), one.get("phase")) == ("fault", "injected")]
    assert begun == ["net.down", "kafka.redeliver"]
    assert ran.found()["fault_never_bit"]["count"] == 1, ran.said


@named("forwards_headers")
def test_a_follow_up_with_the_mark_of_its_cause_is_the_systems_own(runs: dict[Case, Future[Ran]], case: Case) -> None:
    assert {one["topic"] for one in runs[case].result().history if one.get("marked")} == {"orders", "shipments"}


@named("wrong_query")
def test_what_cannot_be_read_is_found_before_the_load(runs: dict[Case, Future[Ran]], case: Case) -> None:
    assert not runs[case].result().uploads()


@named("published")
def test_what_the_load_publishes_is_on_the_topic_where_the_broker_said(
    runs: dict[Case, Future[Ran]], case: Case
) -> None:
    history = runs[case].result().history
    put = [one for one in history if one.get("op") == "publish" and "injected" not in one and one["phase"] == "ok"]
    places = {(one["partition"], one["offset"]): one["event_id"] for one in put}
    seen = [one for one in history if one.get("op") == "event" and one["topic"] == "orders"]
    assert len(places) >= UPLOADS
    assert places.items() <= {(one["partition"], one["offset"]): one["event_id"] for one in seen}.items()
    assert not runs[case].result().uploads()


@named("own_files")
def test_only_files_of_the_users_own_were_uploaded(runs: dict[Case, Future[Ran]], case: Case) -> None:
    sent = {
        one["file_name"] for one in runs[case].result().history if one.get("op") == "upload" and "file_name" in one
    }
    assert sent == {Path(name).name for name in SAMPLES}


@named("stuck")
def test_of_what_is_stuck_one_head_of_each_partition_is_named(runs: dict[Case, Future[Ran]], case: Case) -> None:
    stalled = runs[case].result().found()["stalled"]
    places = [row["partition"] for row in stalled["rows"]]
    assert len(places) == len(set(places)) == stalled["count"]


@named("avro_billed_forgets")
def test_a_second_record_in_avro_is_seen(runs: dict[Case, Future[Ran]], case: Case) -> None:
    assert "printer" in {row["consumer"] for row in runs[case].result().found()["duplicate"]["rows"]}


@named("other_forms_forget")
def test_in_every_form_a_second_effect_is_seen(runs: dict[Case, Future[Ran]], case: Case) -> None:
    doubled = [row["consumer"] for row in runs[case].result().found()["duplicate"]["rows"]]
    assert {consumer for consumer in doubled if consumer != "shop"} == FORMS.keys() - {"teller"}


@named("forgets")
def test_an_order_that_came_twice_is_named_by_what_was_made_of_it(runs: dict[Case, Future[Ran]], case: Case) -> None:
    ran = runs[case].result()
    doubled = {(row["consumer"], row["event_id"]) for row in ran.found()["duplicate"]["rows"]}
    again = {event_id for consumer, event_id in doubled if consumer == "billing"}
    assert again
    assert {event_id for consumer, event_id in doubled if consumer == "printer"} == again
    explained = [row for row in ran.found()["total_wrong"]["rows"] if len(row["event_ids"] or ()) == 1]
    assert all(row["too"] == "much" for row in ran.found()["total_wrong"]["rows"])
    assert {row["event_id"] for row in explained} <= again, ran.said
