"""A story is told from the history alone, oldest first."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.history.reader import History
from harness.reports.story import find, tell
from harness.reports.summary import brief
from tests.histories.builder import MS, Tape, final, good_run
from tests.histories.cases import BAD


def test_the_story_of_a_lost_event(history: History, lost: str) -> None:
    told = [
        (moment.t / 1e9, moment.who, moment.text.split(",")[0]) for moment in tell(history, "event", lost).moments
    ]
    assert told == [
        (11.0, "client", "upload r1-0000000 sent: é\x1b[31m.txt"),
        (11.1, "client", "upload acknowledged"),
        (11.2, "blob c0ffee…", "raw blob present after the answer"),
        (12.0, "essays:0:0", f"event {lost} on the topic: essay.provisioned.v1"),
        (12.031, "store", f"was asked: SET NX claim:essay_lifecycle:{lost}"),
        (12.033, "essay_lifecycle#1", "fault f1 service.kill injected"),
        (12.034, "essay_lifecycle#1", "service killed"),
        (12.04, "essay_lifecycle#1", "fault f1 service.kill bit"),
        (12.5, "essay_lifecycle#1", "fault f1 service.kill healed"),
        (14.2, "essay_lifecycle", "offset passed (essays:0:0"),
        (16.5, "file_service#1->redis", "fault f2 net.hang injected"),
        (17.0, "blob c0ffee…", "raw blob missing at the end"),
        (31.0, "essay_lifecycle", "the final read begins"),
    ]


def test_the_story_of_an_upload_is_that_of_its_events(history: History, lost: str) -> None:
    assert tell(history, "upload", "r1-0000000").moments == tell(history, "event", lost).moments


def test_effects_and_copies_are_told(history: History, twice: str) -> None:
    texts = [moment.text for moment in tell(history, "event", twice).moments]
    assert [text for text in texts if text.startswith("effect")] == [
        "effect 1 seen, carries aaaaaaaaaaaa…",
        "effect 2 seen, carries aaaaaaaaaaaa…",
    ]
    assert any(text.startswith("event published again by kafka.duplicate") for text in texts)
    assert not any("no effect" in text for text in texts)


def test_the_beginning_of_an_id_is_enough(history: History, lost: str) -> None:
    assert find(history, "event", "7f") == lost
    assert find(history, "event", lost) == lost
    assert find(history, "upload", "r1-") == "r1-0000000"


def test_an_id_that_nobody_has(history: History) -> None:
    with pytest.raises(UsageError, match="no event 'zz'"):
        find(history, "event", "zz")
    with pytest.raises(UsageError, match="no upload '7f'"):
        find(history, "upload", "7f")


def test_a_beginning_that_several_have(history: History, lost: str, twice: str) -> None:
    with pytest.raises(UsageError, match=rf"begins several events: {lost}, {twice}; give more"):
        find(history, "event", "")


@pytest.mark.parametrize("prefix", ["%", "_", "7f%", "' OR 1=1 --"])
def test_a_prefix_is_text_and_no_pattern(history: History, prefix: str) -> None:
    with pytest.raises(UsageError, match="no event"):
        find(history, "event", prefix)


def told(tape: Tape, folder: Path, id_: str = "placed-4") -> list[tuple[str, str]]:
    """The brief word and the text of each moment on a topic, in order."""
    with History(tape.write(folder / "history.jsonl")) as history:
        moments = tell(history, "event", id_).moments
    return [(one.brief, one.text) for one in moments if one.kind == "topic" and one.brief != "offset passed"]


def test_a_follow_up_is_told_by_the_rule_that_joins_it(tmp_path: Path) -> None:
    assert told(good_run(), tmp_path) == [
        ("published", "event placed-4 on the topic: placed, digest placed0004…"),
        ("follow-up", "follow-up shipped shipped-4 on the topic"),
    ]


def test_a_follow_up_is_told_by_the_cause_that_it_names(tmp_path: Path) -> None:
    def named(tape: Tape) -> None:
        tape.one("event", event_id="closed-2").update(causation_id="placed-4")

    texts = [text for _, text in told(good_run(named), tmp_path)]
    assert texts[1:] == ["follow-up shipped shipped-4 on the topic", "follow-up closed closed-2 on the topic"]


def test_a_follow_up_that_never_came_is_told(tmp_path: Path) -> None:
    tape = good_run(lambda tape: tape.drop(tape.find("event", event_id="shipped-4")))
    ended = tape.one("read", "ok", what="topics", final=True)
    with History(tape.write(tmp_path / "history.jsonl")) as history:
        (moment,) = [one for one in tell(history, "event", "placed-4").moments if one.brief == "no follow-up by"]
    assert moment.t == ended["t"]
    assert moment.text == "the final read ends, and found no follow-up: shipped"
    assert (moment.lane, moment.word) == ("topic shipping", "no follow-up")


def test_nobody_says_that_none_came_who_did_not_look(tmp_path: Path) -> None:
    def blind(tape: Tape) -> None:
        tape.drop(tape.find("event", event_id="shipped-4"))
        tape.one("read", "ok", what="topics", final=True).update(phase="fail")

    assert [brief for brief, _ in told(good_run(blind), tmp_path)] == ["published"]


def test_an_event_that_asks_for_none_lacks_none(tmp_path: Path) -> None:
    assert [brief for brief, _ in told(good_run(), tmp_path, "refused-7")] == ["published"]


def test_a_follow_up_that_is_published_again_is_one(tmp_path: Path) -> None:
    def again(tape: Tape) -> None:
        read = final(tape, "topics")
        publish = tape.add(600, "publish", "invoke", injected="kafka.duplicate")
        place = {"topic": "shipping", "partition": 0, "offset": 90}
        tape.add(601, "publish", "ok", of=publish, injected="kafka.duplicate", **place)
        tape.event(read, 4, "shipped", 0, 90)

    assert told(good_run(again), tmp_path)[1:] == [
        ("follow-up", "follow-up shipped shipped-4 on the topic"),
        ("", "follow-up shipped shipped-4 on the topic, published again by kafka.duplicate"),
    ]


def test_a_forwarded_header_makes_no_follow_up_a_fault_s(tmp_path: Path) -> None:
    def forwarded(tape: Tape) -> None:
        tape.one("event", event_id="shipped-4").update(injected="kafka.duplicate")

    assert told(good_run(forwarded), tmp_path)[1:] == [("follow-up", "follow-up shipped shipped-4 on the topic")]


@pytest.mark.parametrize("id_", ["a.*b", "x\\Qy", "new\nline", "\u00e9|\u4e2d", "(", "[" * 200, "a" * 70_000])
def test_a_claim_is_found_whatever_the_id_is_made_of(tmp_path: Path, id_: str) -> None:
    tape = good_run()
    for record in tape.find("event", event_id="placed-4"):
        record["event_id"] = id_
    tape.add(200, "claim", "seen", command="SET NX", key=f"claim:shop:{id_}:1")
    tape.add(201, "claim", "seen", command="SET NX", key="claim:shop:other")
    with History(tape.write(tmp_path / "history.jsonl")) as history:
        moments = tell(history, "event", id_).moments
    assert [(one.brief, one.consumer) for one in moments if one.kind == "store"] == [("SET NX asked", "shop")]


def test_what_was_asked_for_again_is_told_with_its_answer(tmp_path: Path) -> None:
    def again(tape: Tape) -> None:
        invoke = tape.add(310, "reprocess", "invoke", upload_id="u4")
        tape.add(320, "reprocess", "ok", upload_id="u4", of=invoke, status=202)
        asked = tape.add(330, "replay", "invoke", consumer="shop", event_id="placed-4")
        tape.add(340, "replay", "fail", consumer="shop", event_id="placed-4", of=asked, error="it was applied")

    with History(good_run(again).write(tmp_path / "history.jsonl")) as history:
        texts = [moment.text for moment in tell(history, "event", "placed-4").moments]
    assert [text for text in texts if "again" in text or "replay" in text] == [
        "asked to process the upload again",
        "request to process it again acknowledged, status 202",
        "replay of the dead letter asked for",
        "replay of the dead letter refused, it was applied",
    ]


def tapped(tape: Tape) -> None:
    """Two replicas claim, one gives back; what names another event, or only begins alike, is no part of the story."""
    tape.claim(100, "shop#1")
    tape.add(101, "claim", "seen", command="SET NX", key="claim:placed-4")
    tape.add(103, "claim", "seen", command="EVAL", key="lease:placed-4")
    tape.claim(105, "shop#2", denied=True)
    tape.claim(106, "shop#2", n=44)
    tape.release(110, "shop#2", phase="lost_reply")
    tape.wire(115, "shop#1->blobs", "PUT", key="/kept/u4", phase="unanswered")
    tape.wire(120, "shop#1->kafka", "OffsetCommit", key="shop", kind="ok", places=[["orders", 0, 3]])
    tape.wire(121, "shop#2->kafka", "OffsetCommit", key="shop", kind="ok", places=[["orders", 0, 9]])
    tape.wire(20, "desk#1->kafka", "Produce", key="orders", kind="ok", places=[["orders", 0, 2]])


def test_where_links_had_taps_a_story_names_the_replica_that_did_it(tmp_path: Path) -> None:
    with History(good_run(tapped).write(tmp_path / "history.jsonl")) as history:
        story = tell(history, "event", "placed-4")
    said = [
        (one.who, one.text)
        for one in story.moments
        if one.t < 400 * MS and ("sent " in one.text or "asked" in one.text)
    ]
    assert said == [
        ("desk#1", "sent it to orders:0, where its offset is 2; answered ok"),
        ("shop#1", "sent redis: SET NX EX claim:placed-4; answered OK"),
        ("store", "was asked: EVAL lease:placed-4"),
        ("shop#2", "sent redis: SET NX EX claim:placed-4; answered nil"),
        ("shop#2", "sent redis: DEL claim:placed-4; executed, the answer was lost"),
        ("shop#1", "sent blobs: PUT /kept/u4; no answer came"),
        ("shop#1", "sent the commit of its offset (orders:0:2, up to 3); answered ok"),
    ]
    assert brief(story, "shop").startswith(
        "SET by shop#1 0.100 s, EVAL asked 0.103 s, SET by shop#2 0.105 s, DEL by shop#2"
    )
    assert "offset committed by shop#1 0.120 s" in brief(story, "shop")


def texts_of(change: Callable[[Tape], None], folder: Path, kind: str = "database") -> list[tuple[str, str]]:
    with History(good_run(change).write(folder / "history.jsonl")) as history:
        return [(one.who, one.text) for one in tell(history, "event", "placed-4").moments if one.kind == kind]


def test_an_effect_that_names_a_business_key_is_told_of_its_event(tmp_path: Path) -> None:
    assert ("desk", "effect desk-entry-4 seen, carries placed0004…") in texts_of(BAD["duplicate.key"], tmp_path)


def test_nobody_says_that_there_is_no_effect_of_an_event_whose_key_is_shared(tmp_path: Path) -> None:
    told = [text for who, text in texts_of(BAD["key_shared"], tmp_path) if who == "desk"]
    assert told == []


def test_the_totals_that_an_event_is_added_to_are_told(tmp_path: Path) -> None:
    told = [text for who, text in texts_of(BAD["total_wrong"], tmp_path) if who == "purse"]
    assert told == ["total of acc-0 seen: 1119498.75, before: 1000.00; the event adds 16.25"]


def test_effects_of_a_key_that_no_event_has_are_found_by_it(tmp_path: Path) -> None:
    with History(good_run(BAD["phantom.key"]).write(tmp_path / "history.jsonl")) as history:
        assert find(history, "event", "with key A-9") == "with key A-99"
        (moment,) = [one for one in tell(history, "event", "with key A-99").moments if one.kind == "database"]
    assert moment.text.startswith("effect desk-entry-99 seen")
