"""Postgres messages are found wherever the bytes are cut, and say no value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.taps.message import Message, NotUnderstood
from harness.taps.postgres import PostgresParser
from tests.unit.taps.postgres_frames import (
    EXECUTE,
    FLUSH,
    PREPARED,
    READY,
    START,
    SYNC,
    answer,
    bind,
    describe,
    error,
    extended,
    frame,
    parse,
    query,
    startup,
)
from tests.unit.taps.spans import cut, seen, spans

DONE = frame("1") + frame("2")
REQUESTS = [
    (query("BEGIN"), "BEGIN", ""),
    (query("select 1"), "SELECT", ""),
    (extended("INSERT INTO inbox (id) VALUES ($1)"), "INSERT", "inbox"),
    (extended('update "public"."orders" set x = $1', value=b"v" * 9000), "UPDATE", "public.orders"),
    (extended("-- why\n /* what */ SELECT * FROM outbox WHERE a = $1 FOR UPDATE SKIP LOCKED"), "SELECT", "outbox"),
    (extended("DELETE FROM ONLY outbox"), "DELETE", "outbox"),
    (frame("S"), "Sync", ""),
    (frame("F", bytes(10)), "FunctionCall", ""),
    (frame("p", b"hunter2\0"), "password", ""),
    (extended("SELECT '" + "x" * 9000 + "' FROM far"), "SELECT", ""),
    (query(""), "?", ""),
]
REPLIES = [
    (answer(frame("C", b"BEGIN\0"), status=b"T"), "BEGIN"),
    (answer(DONE, frame("T", bytes(20)), frame("D", bytes(9000)), frame("C", b"SELECT 1\0")), "SELECT"),
    (answer(DONE, frame("n"), frame("C", b"INSERT 0 1\0"), status=b"T"), "INSERT"),
    (answer(frame("1"), error(b"40001"), status=b"E"), "error 40001"),
    (answer(frame("R", bytes(4)), frame("S", b"a\0b\0"), frame("K", bytes(8))), "ok"),
    (answer(frame("I")), "ok"),
    (READY, "ok"),
]


def laid_out(parts, at: int = 0) -> tuple[bytes, list[tuple[int, int, str, str]]]:
    data, places = b"", []
    for part, what, *key in parts:
        places.append((at + len(data), at + len(data) + len(part), what, *(key or [""])))
        data += part
    return data, places


@given(st.lists(st.sampled_from(REQUESTS), max_size=12), st.lists(st.integers(0), max_size=20))
def test_requests_are_found_however_they_are_cut(requests, places) -> None:
    data, expected = laid_out([(START, "StartupMessage", ""), *requests])
    assert spans(seen(PostgresParser().requests, cut(data, places))) == expected


@given(st.lists(st.sampled_from(REPLIES), max_size=12), st.lists(st.integers(0), max_size=20))
def test_replies_are_found_however_they_are_cut(replies, places) -> None:
    data, expected = laid_out(replies)
    assert spans(seen(PostgresParser().replies, cut(data, places))) == expected


@given(st.binary(max_size=400), st.lists(st.integers(0), max_size=6), st.booleans())
def test_whatever_comes_is_understood_or_refused(data, places, started) -> None:
    parser = PostgresParser()
    if started:
        parser.requests.feed(START)
    for scanner in (parser.requests, parser.replies):
        try:
            seen(scanner, cut(data, places))
        except NotUnderstood:
            continue
        assert len(scanner._body) <= 4096


def begun(*statements: bytes):
    parser = PostgresParser()
    parser.requests.feed(START)
    return [(message.command, message.key) for text in statements for message in parser.requests.feed(text)]


def test_a_commit_names_the_tables_that_its_transaction_wrote_to() -> None:
    said = begun(
        query("BEGIN"),
        extended("INSERT INTO outbox VALUES ($1)"),
        extended("SELECT 1 FROM inbox"),
        extended("UPDATE inbox SET a = $1"),
        extended("INSERT INTO inbox VALUES ($1) ON CONFLICT (id) DO UPDATE SET a = 1"),
        query("COMMIT"),
        query("BEGIN"),
        query("DELETE FROM a"),
        query("ROLLBACK"),
        query("BEGIN"),
        query("END"),
    )
    assert [one for one in said if one[0] in {"COMMIT", "END"}] == [("COMMIT", "inbox,outbox"), ("END", "")]


def test_what_was_written_before_a_savepoint_stays_written() -> None:
    said = begun(
        query("BEGIN"),
        query("INSERT INTO inbox VALUES (1) ON CONFLICT (id) DO\n    UPDATE SET a = 1"),
        query("SAVEPOINT s"),
        query("UPDATE counts SET n = 1"),
        query("rollback  to savepoint s"),
        query("COMMIT"),
        query("BEGIN; DELETE FROM a"),
        query("ROLLBACK TRANSACTION"),
        query("INSERT INTO b VALUES (1)"),
        query("begin; insert into c values (1)"),
        query("COMMIT"),
    )
    assert [one for one in said if one[0] == "COMMIT"] == [("COMMIT", "counts,inbox"), ("COMMIT", "c")]


def whole(text: str, *, name: bytes = b"") -> bytes:
    return extended(text, name=name).removesuffix(SYNC)


INBOX = "INSERT INTO inbox VALUES ($1)"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (parse(INBOX) + SYNC, ("Parse", "inbox")),
        (parse(INBOX, b"s") + describe(b"s") + SYNC, ("Parse", "inbox")),
        (parse("BEGIN") + SYNC, ("Parse", "")),
        (parse(INBOX, b"s") + parse("SELECT 1 FROM a", b"t") + bind(b"s") + EXECUTE + SYNC, ("INSERT", "inbox")),
        (whole("BEGIN") + extended(INBOX), ("INSERT", "inbox")),
        (whole("BEGIN") + whole("SAVEPOINT s") + extended(INBOX), ("INSERT", "inbox")),
        (whole("BEGIN") + whole(INBOX) + FLUSH + SYNC, ("INSERT", "inbox")),
        (extended("BEGIN"), ("BEGIN", "")),
        (whole("SAVEPOINT s") + parse(INBOX) + SYNC, ("SAVEPOINT", "")),
        (extended("SET a = 1"), ("SET", "")),
        (query("BEGIN; INSERT INTO inbox VALUES (1)"), ("INSERT", "inbox")),
        (query("BEGIN;"), ("BEGIN", "")),
        (query("SET a = 'x;y'"), ("SET", "")),
    ],
)
@pytest.mark.parametrize("whole_at_once", [True, False])
def test_a_request_is_what_it_executes(sent, said, whole_at_once) -> None:
    """Drivers prepare a statement in a request of its own, and send a BEGIN with the first statement that it is for."""
    requests = PostgresParser().requests
    requests.feed(START)
    chunks = [sent] if whole_at_once else [sent[at : at + 1] for at in range(len(sent))]
    told = []
    for chunk in chunks:
        for message in requests.feed(chunk):
            told.append((message.command, message.key))
            assert message.held_from == len(START), "none of it has passed when a trigger sees it"
        assert told or requests.head == len(START)
    assert set(told) == {said}


def test_a_statement_behind_a_flush_of_its_begin_is_told_all_the_same() -> None:
    requests = PostgresParser().requests
    requests.feed(START)
    (told,) = requests.feed(whole("BEGIN") + FLUSH)
    assert told.command == "BEGIN"
    requests.feed(extended(INBOX))
    assert (told.command, told.key) == ("INSERT", "inbox")


def test_a_prepared_statement_is_known_by_its_name() -> None:
    text = "INSERT INTO inbox VALUES ($1)"
    said = begun(
        extended(text, name=b"s1"), extended(text, name=b"s1", prepared=True), extended("", name=b"s2", prepared=True)
    )
    assert said == [("INSERT", "inbox"), ("INSERT", "inbox"), ("?", "")]


def test_the_oldest_prepared_statement_is_forgotten(monkeypatch) -> None:
    monkeypatch.setattr("harness.taps.postgres._MOST_STATEMENTS", 1)
    one, two = (extended("DELETE FROM a", name=name) for name in (b"s1", b"s2"))
    assert begun(one, two, extended("", name=b"s1", prepared=True))[-1] == ("?", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("WITH gone AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM gone", ("WITH", "a", ("a", "b"))),
        ("WITH x AS (SELECT 1 FROM a) SELECT * FROM x", ("WITH", "a", ())),
        ("((select 1 from a))", ("SELECT", "a", ())),
        ("MERGE INTO a USING b ON true", ("MERGE", "a", ("a",))),
        ("COPY a (x) FROM STDIN", ("COPY", "a", ("a",))),
        ("TRUNCATE TABLE a", ("TRUNCATE", "a", ())),
        ("SELECT * FROM a FOR NO KEY UPDATE OF a", ("SELECT", "a", ())),
        ("/* never ends", ("?", "", ())),
    ],
)
def test_a_statement(text, said) -> None:
    from harness.taps.postgres import _statement

    assert _statement(text.encode())[:3] == said


def test_nothing_of_a_statement_but_its_words_is_kept() -> None:
    parser = PostgresParser()
    parser.requests.feed(START)
    (message,) = parser.requests.feed(query("INSERT INTO a VALUES ('hunter2')"))
    parser.replies.feed(answer(error(b"23505")))
    assert "hunter2" not in repr(message)


def test_notices_between_replies_answer_nothing() -> None:
    parser = PostgresParser()
    said = parser.replies.feed(READY + frame("N", bytes(9000)) + frame("A", bytes(9)) + READY)
    assert [(message.unasked, message.kind) for message in said] == [
        (False, "ok"),
        (True, "notice"),
        (True, "notice"),
        (False, "ok"),
    ]


def test_a_server_without_tls_is_followed_and_one_with_it_is_not() -> None:
    parser = PostgresParser()
    assert [message.command for message in parser.requests.feed(startup(80877103))] == ["SSLRequest"]
    assert [(message.kind, message.size) for message in parser.replies.feed(b"N")] == [("N", 1)]
    assert [message.command for message in parser.requests.feed(START)] == ["StartupMessage"]
    parser = PostgresParser()
    parser.requests.feed(startup(80877103))
    with pytest.raises(NotUnderstood, match="TLS begins"):
        parser.replies.feed(b"S")


def test_copied_data_and_cancellations_are_answered_by_nothing() -> None:
    parser = PostgresParser()
    parser.requests.feed(START)
    said = parser.requests.feed(query("COPY a FROM STDIN") + frame("d", bytes(70000)) + frame("c") + query("END"))
    assert [(message.command, message.answered) for message in said] == [("COPY", True), ("END", True)]
    (cancel,) = PostgresParser().requests.feed(startup(80877102, bytes(8)))
    assert not cancel.answered


def test_a_statement_is_told_before_all_of_its_values_have_come() -> None:
    parser = PostgresParser()
    parser.requests.feed(START)
    assert not parser.requests.feed(b"P")
    assert parser.requests.head == len(START)
    sent = extended("INSERT INTO a VALUES ($1)", value=bytes(100_000))
    (told,) = parser.requests.feed(sent[1:-50_000])
    assert (told.command, told.key, told.end) == ("INSERT", "a", None)
    assert parser.requests.head is None


def test_what_precedes_an_outcome_does_not_wait_to_be_told() -> None:
    replies = PostgresParser().replies
    assert not replies.feed(PREPARED + frame("2")[:3])
    assert replies.head == len(PREPARED), "whole messages of Postgres' alone: an error could not follow half a one"
    assert not replies.feed(frame("2")[3:] + frame("N", bytes(9)))
    (told,) = replies.feed(frame("C", b"INSERT 0 1\0"))
    assert (told.start, told.held_from) == (0, len(PREPARED + frame("2") + frame("N", bytes(9))))
    assert replies.head is None


def test_a_copy_is_told_by_what_became_of_its_data() -> None:
    replies = PostgresParser().replies
    assert not replies.feed(frame("G", bytes(3)))
    (told,) = replies.feed(frame("C", b"COPY 1\0"))
    assert told.held_from == len(frame("G", bytes(3)))


INSERT, SELECT = "INSERT INTO inbox VALUES ($1)", "SELECT 1 FROM types"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (describe(b"s") + FLUSH, ("INSERT", "inbox")),
        (describe(b"other") + FLUSH, ("Flush", "")),
        (frame("D", b"P\0") + FLUSH, ("Flush", "")),
        (frame("C", b"Ss\0") + FLUSH, ("Flush", "")),
        (EXECUTE + FLUSH, ("Flush", "")),
        (parse(SELECT) + FLUSH, ("SELECT", "types")),
    ],
)
def test_a_request_passes_with_its_flush_whatever_is_known_of_it(sent, said) -> None:
    parser = PostgresParser()
    parser.requests.feed(START + parse(INSERT, b"s") + SYNC)
    (told,) = parser.requests.feed(sent)
    assert (told.command, told.key, told.end) == (*said, None)
    assert parser.requests.head is None


@pytest.mark.parametrize("flushes", [1, 2])
def test_a_flush_behind_a_sync_is_no_request(flushes) -> None:
    requests = PostgresParser().requests
    requests.feed(START)
    assert not requests.feed(FLUSH * flushes)
    assert requests.head == len(START + FLUSH * flushes), "it passes"
    (told,) = requests.feed(query("BEGIN"))
    assert (told.command, told.start, told.held_from) == ("BEGIN", len(START), len(START + FLUSH * flushes))


@pytest.mark.parametrize(
    ("executed", "said"),
    [
        (parse(SELECT, b"t") + describe(b"t") + FLUSH + bind(b"t") + EXECUTE + SYNC, ("SELECT", "types")),
        (query("BEGIN"), ("BEGIN", "")),
        (SYNC, ("Parse", "inbox")),
    ],
)
def test_a_request_is_named_by_what_it_executes_and_not_by_what_it_prepared_before(executed, said) -> None:
    """asyncpg asks for types between a Flush and the Bind, and a service may prepare long before it executes."""
    requests = PostgresParser().requests
    requests.feed(START)
    (told,) = requests.feed(parse(INSERT, b"s") + describe(b"s") + FLUSH)
    assert (told.command, told.key) == ("INSERT", "inbox")
    (ended,) = requests.feed(executed)
    assert ended is told
    assert (told.command, told.key) == said
    (later,) = requests.feed(bind(b"s") + EXECUTE + SYNC)
    assert (later.command, later.key) == ("INSERT", "inbox")


def test_a_refusal_is_an_error_with_the_state_that_the_server_tells() -> None:
    parser = PostgresParser()
    request = Message(0, command="COMMIT")
    assert (parser.refusal(request, "40001")() or b"").endswith(frame("Z", b"I"))
    (request,) = parser.requests.feed(START + query("BEGIN"))[1:]
    parser.replies.feed(READY + answer(error(b"42601"), status=b"E") + READY)
    refusal = parser.refusal(request, "40P01")() or b""
    assert refusal.endswith(frame("Z", b"E"))
    assert [message.kind for message in PostgresParser().replies.feed(refusal)] == ["error 40P01"]
