"""A ``when:`` is resolved to the links that it names, or refused with what to write."""

import pytest
from pydantic import ValidationError

from harness.errors import PlanRefused
from harness.faults.condition import Condition
from harness.faults.plan import plan_line
from harness.scenario import FaultLine, Scenario
from harness.system import System
from harness.taps import TABLE


def planned(system, **row):
    return plan_line(FaultLine.model_validate(row), system, 41, after=0)


KILL = {"fault": "service.kill", "on": "essay_lifecycle#1", "for": "1s"}
ON_KAFKA = "essay_lifecycle#1->kafka"
ERROR = {"fault": "tap.error", "on": ON_KAFKA}
CORRUPT = {"fault": "tap.corrupt", "on": "file_service->kafka"}
HOLD = {"fault": "tap.hold", "on": "essay_lifecycle#1->redis", "when": {"request": "SET *"}}
LOSE = {"fault": "tap.lose_reply", "on": "essay_lifecycle->redis"}
SLOW = {"fault": "net.latency", "for": "1s", "latency": "9ms"}


def test_any_fault_may_act_at_a_message(system) -> None:
    (fault,) = planned(system, **KILL, when={"reply": "SET *", "on": "essay_lifecycle#1->redis", "nth": 3})
    assert fault.at is None
    assert fault.document()["when"] == {"reply": ["SET *"], "on": ["essay_lifecycle#1->redis"], "nth": 3}


def test_messages_may_count_only_after_so_many_uploads(system) -> None:
    when = {"reply": "SET *", "on": "essay_lifecycle#1->redis", "after": 20}
    (fault,) = planned(system, **KILL, when=when)
    assert fault.document()["when"] == when | {"reply": ["SET *"], "on": ["essay_lifecycle#1->redis"], "nth": 1}


def test_a_fault_by_the_clock_is_planned_as_before(system) -> None:
    (fault,) = planned(system, **KILL, at="10%")
    assert "when" not in fault.document()


def test_several_links_count_together_unless_the_fault_is_on_each(system) -> None:
    (one,) = planned(system, **KILL, when={"reply": "SET *", "on": "essay_lifecycle->redis"})
    assert one.when.links == ("essay_lifecycle#1->redis", "essay_lifecycle#2->redis")
    each = planned(system, **LOSE, when={"request": "SET *"})
    assert [fault.when.links for fault in each] == [("essay_lifecycle#1->redis",), ("essay_lifecycle#2->redis",)]


def test_each_target_acts_at_a_message_of_its_own_if_the_link_is_said_by_what_the_fault_is_on(system) -> None:
    row = {"fault": "service.kill", "for": "1s", "when": {"request": "OffsetCommit", "on": "essay_lifecycle->kafka"}}
    each = planned(system, **row, on="essay_lifecycle")
    assert {fault.target: fault.when.links for fault in each} == {
        target: (f"{target}->kafka",) for target in ("essay_lifecycle#1", "essay_lifecycle#2")
    }
    (other,) = planned(system, **row, on="essay_lifecycle#1")
    assert other.when.links == ("essay_lifecycle#1->kafka", "essay_lifecycle#2->kafka")
    (service,) = planned(system, fault="kafka.redeliver", on="essay_lifecycle", count=3, when=row["when"])
    assert (service.target, service.when.links) == ("essay_lifecycle", other.when.links)


def test_a_moment_may_stand_beside_a_message(system) -> None:
    (fault,) = planned(system, **KILL, at="10%", when={"reply": "SET *", "on": "essay_lifecycle#1->redis"})
    assert (fault.at, fault.when.nth) == ("10%", 1)


def test_a_reply_is_lost_at_the_reply_whichever_is_named(system) -> None:
    for side in ("request", "reply"):
        assert {fault.when.side for fault in planned(system, **LOSE, when={side: "SET *"})} == {"reply"}


def test_a_message_is_held_until_another_is_there_on_whichever_link(system) -> None:
    until = {"reply": "SET *", "on": "essay_lifecycle#2->redis", "nth": 2}
    (fault,) = planned(system, **HOLD, **{"for": "5s"}, until=until)
    assert (fault.lasts, fault.fault.lasts) == (None, 5.0)
    assert fault.until == Condition("reply", ("SET *",), ("essay_lifecycle#2->redis",), nth=2)
    assert fault.document()["until"] == {"reply": ["SET *"], "on": ["essay_lifecycle#2->redis"], "nth": 2}
    (own,) = planned(system, **HOLD, **{"for": "5s"}, until={"request": "GET"})
    assert own.until.links == ("essay_lifecycle#1->redis",)


def test_what_is_sent_twice_must_mean_something_by_itself(system) -> None:
    document = system.model_dump(mode="json", by_alias=True)
    document["dependencies"]["postgres"] = {}
    document["services"]["file_service"]["env"]["DB"] = "{postgres}"
    row = {"fault": "tap.duplicate", "on": "file_service->postgres", "when": {"request": "INSERT"}}
    with pytest.raises(
        PlanRefused, match=r"speaks postgres, where no request can be sent twice: .* same transaction"
    ):
        planned(System.model_validate(document), **row)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"events": {"decode": {"function": "decoding:order"}}}, "it needs events in JSON"),
        (
            {"effects": {"essay_lifecycle": {"applies": ["a"], "topic": {"name": "essays", "id": "/of"}}}},
            "holds effects or dead letters",
        ),
    ],
)
def test_what_no_checker_could_judge_is_not_corrupted(system, change, said) -> None:
    document = system.model_dump(mode="json", by_alias=True, exclude_none=True)
    document["events"] |= change.pop("events", {})
    with pytest.raises(PlanRefused, match=said):
        planned(System.model_validate(document | change), **CORRUPT, when={"request": "Produce"})


def test_a_service_is_asked_over_http(system) -> None:
    row = {"fault": "tap.error", "on": "essay_lifecycle#1->content_service", "error": 503}
    (fault,) = planned(system, **row, when={"request": "GET /v1/*", "every": 5})
    assert (fault.fault.error, fault.when.every) == ("503", 5)


@pytest.mark.parametrize(
    ("on", "error", "reply"),
    [
        ("essay_lifecycle#1->content_service", 503, "POST /v1/*"),
        (ON_KAFKA, "NOT_COORDINATOR", "OffsetCommit"),
        (ON_KAFKA, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "Produce"),
    ],
)
def test_an_error_may_be_given_of_what_was_executed_if_it_does_not_deny_it(system, on, error, reply) -> None:
    (fault,) = planned(system, fault="tap.error", on=on, error=error, when={"reply": reply})
    assert fault.when.side == "reply"


@pytest.mark.parametrize(
    ("error", "request_"),
    [
        ("MESSAGE_TOO_LARGE", "Produce"),
        ("INVALID_RECORD", "Produce"),
        ("TOPIC_AUTHORIZATION_FAILED", "Produce"),
        ("PRODUCER_FENCED", "EndTxn"),
        ("OFFSET_OUT_OF_RANGE", "Fetch"),
        ("UNSUPPORTED_VERSION", "OffsetCommit"),
    ],
)
@pytest.mark.parametrize("side", ["request", "reply"])
def test_an_error_by_which_a_right_client_gives_up_what_nothing_is_wrong_with_is_refused(
    system, error, request_, side
) -> None:
    with pytest.raises(PlanRefused, match=rf"tap\.error: {error} says for good what is not so"):
        planned(system, **ERROR, error=error, when={side: request_})


@pytest.mark.parametrize(
    ("error", "request_"),
    [
        ("NOT_ENOUGH_REPLICAS", "Produce"),
        ("CORRUPT_MESSAGE", "Produce"),
        ("UNKNOWN_TOPIC_OR_PARTITION", "Produce"),
        ("UNKNOWN_SERVER_ERROR", "Fetch"),
        ("INVALID_PRODUCER_EPOCH", "EndTxn"),
        ("UNKNOWN_MEMBER_ID", "Heartbeat"),
        ("ILLEGAL_GENERATION", "OffsetCommit"),
    ],
)
def test_what_a_broker_in_trouble_says_is_taken(system, error, request_) -> None:
    (fault,) = planned(system, **ERROR, error=error, when={"request": request_})
    assert fault.fault.error == error


def test_an_error_of_postgres_says_that_nothing_was_done(system) -> None:
    document = system.model_dump(mode="json", by_alias=True)
    document["dependencies"]["postgres"] = {}
    document["services"]["file_service"]["env"]["DB"] = "{postgres}"
    row = {"fault": "tap.error", "on": "file_service->postgres", "error": "40001", "when": {"reply": "COMMIT *"}}
    with pytest.raises(PlanRefused, match="40001 says that the request was not executed"):
        planned(System.model_validate(document), **row)


def test_a_link_that_no_tap_understands_is_refused(system, monkeypatch) -> None:
    monkeypatch.delitem(TABLE, "postgres")
    document = system.model_dump(mode="json", by_alias=True)
    document["dependencies"] |= {"postgres": {}, "queue": {"kind": "tcp", "ping": {"answer": "ready"}}}
    document["services"]["file_service"]["env"] |= {"DB": "{postgres}", "QUEUE": "{queue}"}
    system = System.model_validate(document)
    says = "no tap understands postgres, which file_service#1->postgres speaks; taps understand http, kafka, redis$"
    with pytest.raises(PlanRefused, match=says):
        planned(system, **KILL, when={"reply": "COMMIT", "on": "file_service->postgres"})
    says = "no tap understands tcp, .*; if it speaks one of these, say so: `speaks`"
    with pytest.raises(PlanRefused, match=says):
        planned(system, **KILL, when={"reply": "PUT", "on": "file_service->queue"})
    document["dependencies"]["queue"]["speaks"] = "http"
    assert planned(System.model_validate(document), **KILL, when={"reply": "PUT", "on": "file_service->queue"})


@pytest.mark.parametrize("api", ["Produce essays*", "offsetcommit", "*Commit", "*"])
def test_kafka_is_asked_by_its_apis(system, api) -> None:
    (fault,) = planned(system, **ERROR, error="NOT_COORDINATOR", when={"request": api, "every": 5})
    assert (fault.fault.error, fault.when.patterns) == ("NOT_COORDINATOR", (api,))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (LOSE | {"at": "10%", "when": {"reply": "SET *"}}, "acts on a message, never by the clock; leave `at` out"),
        (LOSE | {"at": "10%"}, "tap.lose_reply acts on a message, so say on which: `when:"),
        (LOSE | {"when": {"reply": "SET", "on": "essay_lifecycle#1->redis"}}, "acts on its own link"),
        (KILL | {"when": {"reply": "SET *"}}, "say on which link the message is"),
        (KILL | {"when": {"reply": "SET *", "on": "essay_lifecycle->redys"}}, "nearest: essay_lifecycle->redis"),
        (
            {"fault": "tap.lose_request", "on": "essay_lifecycle->redis", "when": {"reply": "SET *"}},
            "executed already; write `when: {request",
        ),
        (
            {"fault": "tap.error", "on": "essay_lifecycle->redis", "error": "READONLI", "when": {"request": "SET *"}},
            r"a tap knows no error READONLI of it \(nearest: READONLY\); known: LOADING, READONLY, OOM",
        ),
        (
            {
                "fault": "tap.error",
                "on": "essay_lifecycle->content_service",
                "error": "OOM",
                "when": {"request": "GET"},
            },
            "known: 500, 502, 503, 429",
        ),
        (
            KILL | {"when": {"request": "OffsetComit", "on": ON_KAFKA}},
            r"no request OffsetComit \(nearest: OffsetCommit",
        ),
        (ERROR | {"error": "NOT_COORDINATR", "when": {"request": "OffsetCommit"}}, "nearest: NOT_COORDINATOR"),
        (ERROR | {"error": "REDIRECT", "when": {"request": "OffsetCommit"}}, r"known: 1\d\d, for example"),
        (
            ERROR | {"error": "NOT_CONTROLLER", "when": {"request": "DeleteTopics"}},
            "cannot answer DeleteTopics with an error",
        ),
        (
            {"fault": "tap.error", "on": "essay_lifecycle->redis", "error": "OOM", "when": {"reply": "SET *"}},
            "OOM says that the request was not executed, .* tap.lose_reply in its place$",
        ),
        (
            {
                "fault": "tap.error",
                "on": "essay_lifecycle->content_service",
                "error": "429",
                "when": {"reply": "POST *"},
            },
            "tap.lose_reply in its place, or one of 500, 502, 503$",
        ),
        (
            ERROR | {"error": "REBALANCE_IN_PROGRESS", "when": {"reply": "OffsetCommit"}},
            "says that the request was not executed, .* or one of COORDINATOR_NOT_AVAILABLE, ",
        ),
        (
            ERROR | {"error": "DUPLICATE_SEQUENCE_NUMBER", "when": {"request": "Produce"}},
            "says that the request was executed, .* write `when: {reply: …}`",
        ),
        (
            {"fault": "tap.error", "on": "essay_lifecycle->redis", "error": "OOM", "when": {"request": "multi"}},
            "cannot answer MULTI with an error",
        ),
        (
            {"fault": "tap.delay", "on": "essay_lifecycle->redis", "by": "0s", "when": {"request": "SET"}},
            "greater than 0",
        ),
        (
            {"fault": "tap.cut", "on": "essay_lifecycle->redis", "after": 1000, "when": {"request": "SET"}},
            "after: .* 1000 is not a size like 1000B or 64KiB",
        ),
        (HOLD | {"for": "1s", "until": {"reply": "SET *", "every": 2}}, "write `nth` in place of `every`"),
        (HOLD | {"for": "1s", "until": {"reply": "SET *", "on": "essay_lifecycle->redys"}}, "nearest: .*->redis"),
        (HOLD | {"for": "1s", "until": {"reply": "Comit", "on": ON_KAFKA}}, "until: kafka has no request Comit"),
        (HOLD | {"for": "1s", "until": {"reply": "SET *", "after": 2}}, "leave `after` out"),
        (HOLD | {"for": "3m"}, "for: .* less than or equal to 120"),
        (HOLD, "for: Field required"),
        (
            {"fault": "tap.duplicate", "on": "essay_lifecycle->redis", "when": {"reply": "SET *"}},
            "acts on a request; write `when: {request",
        ),
        (
            CORRUPT | {"on": "essay_lifecycle->redis", "when": {"request": "SET"}},
            "only Kafka's records have a checksum",
        ),
        (CORRUPT | {"when": {"reply": "Produce"}}, "acts on a request; write `when: {request: Produce"),
        (CORRUPT | {"when": {"request": "OffsetCommit"}}, "OffsetCommit carries no records"),
        (LOSE | {"for": "1s", "when": {"request": "SET"}}, "does not heal, so it takes no `for`"),
    ],
)
def test_what_cannot_be_is_refused(system, row, said) -> None:
    with pytest.raises(PlanRefused, match=said):
        planned(system, **row)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (KILL, "write at: MOMENT, or when:"),
        (KILL | {"at": "10%", "when": {"reply": "SET *", "every": 2}}, "write every, after or follows without at"),
        (KILL | {"at": "10%", "when": {"reply": "SET *", "after": 2}}, "write every, after or follows without at"),
        (KILL | {"at": "10%", "when": {"reply": "SET *", "follows": 1}}, "write every, after or follows without at"),
        (KILL | {"when": {}}, "write either {request: COMMAND"),
        (KILL | {"when": {"reply": "SET", "request": "SET"}}, "write either {request: COMMAND"),
        (KILL | {"when": {"reply": "SET", "nth": 1, "every": 2}}, "write either nth or every"),
        (KILL | {"when": {"reply": "SET", "nth": 0}}, "greater than or equal to 1"),
        (KILL | {"when": {"reply": "SET", "per_key": 0}}, "greater than or equal to 1"),
        (KILL | {"when": {"reply": []}}, "at least 1 item"),
        (KILL | {"when": {"reply": " "}}, "an empty pattern matches nothing"),
        (KILL | {"when": {"replie": "SET"}}, "replie"),
    ],
)
def test_a_row_says_one_thing(row, said) -> None:
    with pytest.raises(ValidationError, match=said):
        FaultLine.model_validate(row)


AGAIN = {"reply": "SET *", "follows": 1}


def test_what_follows_is_one_fault_wherever_its_message_is(system) -> None:
    (fault,) = planned(system, **LOSE, when=AGAIN)
    links = ("essay_lifecycle#1->redis", "essay_lifecycle#2->redis")
    assert (fault.target, fault.among, fault.when.links) == ("essay_lifecycle->redis", links, links)
    assert fault.document()["when"]["follows"] == 1
    assert fault.met_on(links[1]).target == links[1]


def test_what_kills_and_follows_kills_the_replica_that_the_message_is_of(system) -> None:
    row = {**KILL, "on": "essay_lifecycle", "when": {**AGAIN, "on": "essay_lifecycle->redis"}}
    (fault,) = planned(system, **row)
    assert fault.among == ("essay_lifecycle#1", "essay_lifecycle#2")
    assert fault.met_on("essay_lifecycle#2->redis").target == "essay_lifecycle#2"


def test_a_fault_that_follows_none_stays_on_its_target(system) -> None:
    (fault,) = planned(system, **KILL, when={"reply": "SET *", "on": "essay_lifecycle#2->redis"})
    assert fault.met_on("essay_lifecycle#2->redis").target == "essay_lifecycle#1"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (
            {**KILL, "when": {**AGAIN, "on": "essay_lifecycle->redis"}},
            "essay_lifecycle#2->redis, which does not belong to",
        ),
        (
            {"fault": "redis.restart", "on": "redis", "for": "1s", "when": {**AGAIN, "on": "essay_lifecycle->redis"}},
            "redis.restart is on a redis",
        ),
        ({**HOLD, "for": "1s", "until": AGAIN}, "leave `follows` out"),
        (
            {**SLOW, "on": "essay_lifecycle->content_service", "when": {**AGAIN, "on": "essay_lifecycle->redis"}},
            "`when` names essay_lifecycle#1->redis, which does not belong to essay_lifecycle->content_service",
        ),
        (
            {**HOLD, "on": "essay_lifecycle->redis", "for": "1s", "when": AGAIN, "until": {"request": "DEL *"}},
            "say on which link the other message is",
        ),
    ],
)
def test_what_cannot_follow_is_refused(system, row, says) -> None:
    with pytest.raises(PlanRefused, match=says):
        planned(system, **row)


@pytest.mark.parametrize(
    ("first", "follows", "says"),
    [
        ({"at": "10%"}, 1, "no earlier row that acts at one message"),
        ({"when": {"reply": "SET *", "every": 2}}, 1, "no earlier row that acts at one message"),
        ({"when": {"reply": "SET *"}}, 2, "row 2 follows row 2"),
        ({"when": {"reply": "SET *"}}, 3, "row 2 follows row 3"),
        ({"when": {"reply": "SET *"}}, 1, None),
    ],
)
def test_what_follows_names_an_earlier_row_at_a_message(first, follows, says) -> None:
    rows = [{**LOSE, **first}, {**LOSE, "when": {"request": "SET *", "follows": follows}}]
    document = {"oneffect": 1, "name": "two", "load": {"uploads": 4, "rate": "1/s"}, "faults": rows}
    if says is None:
        assert len(Scenario.model_validate(document).faults) == 2
        return
    with pytest.raises(ValidationError, match=says):
        Scenario.model_validate(document)


def test_what_follows_acts_once() -> None:
    with pytest.raises(ValidationError, match="write nth in place of every"):
        FaultLine.model_validate({**LOSE, "when": {"request": "SET *", "follows": 1, "every": 2}})
