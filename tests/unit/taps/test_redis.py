"""Redis messages are found wherever the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.taps.message import Message, NotUnderstood
from harness.taps.redis import RedisParser
from tests.unit.taps.spans import cut, seen, spans


def array(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


REQUESTS = [
    (array(b"SET", b"claim:a", b"1", b"NX", b"EX", b"60"), "SET", "claim:a"),
    (array(b"get", b"k" * 5000), "GET", "k" * 256),
    (array(b"PING"), "PING", ""),
    (b"PING\r\n", "PING", ""),
    (b"set plain value\r\n", "SET", "plain"),
    (array(b"AUTH", b"user", b"secret"), "AUTH", ""),
    (array(b"EVAL", b"return redis.call()" * 50, b"2", b"done", b"lease", b"value"), "EVAL", "done"),
    (array(b"EVAL", b"return 1", b"0", b"value"), "EVAL", ""),
    (array(b"MULTI"), "MULTI", ""),
    (array(b"XGROUP", b"CREATE", b"stream", b"group", b"$"), "XGROUP", "stream"),
    (array(b"SET", b"", b""), "SET", ""),
    (array(b"SET", b"big", b"\r\n*3\r\n$" * 3000), "SET", "big"),
    (array(b"SET", b"\xff\xfe", b"v"), "SET", "\ufffd\ufffd"),
]
REPLIES = [
    (b"+OK\r\n", "OK"),
    (b"+a value of a script\r\n", "status"),
    (b"-READONLY You can't write\r\n", "error READONLY"),
    (b"-secret text\r\n", "error"),
    (b":12\r\n", "integer"),
    (b"$-1\r\n", "nil"),
    (b"*-1\r\n", "nil"),
    (b"_\r\n", "nil"),
    (b"$0\r\n\r\n", "bulk"),
    (b"$11\r\n+OK\r\n*3\r\n$5\r\n", "bulk"),
    (b"*0\r\n", "array"),
    (b"*3\r\n$1\r\na\r\n*2\r\n:1\r\n*1\r\n+x\r\n$-1\r\n", "array"),
    (b"%2\r\n+a\r\n:1\r\n+b\r\n~2\r\n#t\r\n,1.5\r\n", "map"),
    (b"|1\r\n+ttl\r\n:3\r\n*2\r\n:1\r\n:2\r\n", "attribute"),
    (b"=7\r\ntxt:abc\r\n", "verbatim"),
    (b"!5\r\nERR a\r\n", "error"),
    (
        b"(123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\r\n",
        "big number",
    ),
]


@given(st.lists(st.sampled_from(REQUESTS), max_size=12), st.lists(st.integers(0), max_size=20))
def test_requests_are_found_however_they_are_cut(requests, places) -> None:
    at, expected = 0, []
    for data, command, key in requests:
        expected.append((at, at + len(data), command, key))
        at += len(data)
    assert spans(seen(RedisParser().requests, cut(b"".join(data for data, _, _ in requests), places))) == expected


@given(st.lists(st.sampled_from(REPLIES), max_size=12), st.lists(st.integers(0), max_size=20))
def test_replies_are_found_however_they_are_cut(replies, places) -> None:
    at, expected = 0, []
    for data, kind in replies:
        expected.append((at, at + len(data), kind, ""))
        at += len(data)
    assert spans(seen(RedisParser().replies, cut(b"".join(data for data, _ in replies), places))) == expected


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_arbitrary_bytes_are_read_or_refused(chunks) -> None:
    for scanner in (RedisParser().requests, RedisParser().replies):
        try:
            for chunk in chunks:
                scanner.feed(chunk)
        except NotUnderstood:
            continue


@pytest.mark.parametrize(
    "hostile",
    [
        b"*99999999999999999999999\r\n",
        b"*3000000000\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$9999999999999999\r\n",
        b"*1\r\n:5\r\n",
        b"*x\r\n",
        b"x" * 70_000,
    ],
)
def test_hostile_requests_are_refused(hostile) -> None:
    with pytest.raises(NotUnderstood):
        RedisParser().requests.feed(hostile)


@pytest.mark.parametrize("hostile", [b"*3000000000\r\n", b"$-2\r\n", b"$\r\n", b"x\r\n", b"\r\n", b"*1_0\r\n"])
def test_hostile_replies_are_refused(hostile) -> None:
    with pytest.raises(NotUnderstood):
        RedisParser().replies.feed(hostile)


def test_deep_and_wide_replies_take_no_memory() -> None:
    replies = RedisParser().replies
    for _ in range(10_000):
        assert replies.feed(b"*2000000\r\n" * 10) in ([], [replies._message])
    assert replies._line == b""


def test_a_long_line_of_a_reply_is_not_kept() -> None:
    replies = RedisParser().replies
    for _ in range(100):
        assert replies.feed(b"+" + b"x" * 100_000) == []
    assert len(replies._line) <= 64
    (message,) = replies.feed(b"\r\n")
    assert message.size == 100 * 100_001 + 2


def test_a_command_is_known_before_its_value_has_come() -> None:
    requests = RedisParser().requests
    assert requests.feed(b"*3\r\n$3\r\nSET\r\n$3\r\nke") == []
    assert requests.head == 0
    (message,) = requests.feed(b"y\r\n$1000000\r\nbegin")
    assert (message.command, message.key, message.end) == ("SET", "key", None)
    assert requests.head != 0, "what stands before the value may pass"


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (array(b"SET", b"k", b"v", b"NX", b"EX", b"60"), "NX EX"),
        (array(b"set", b"k", b"v", b"px", b"60", b"nx"), "PX NX"),
        (b"set k v nx ex 60\r\n", "NX EX"),
        (array(b"SET", b"k", b"NX"), ""),
        (array(b"SET", b"k", b"v", *[b"secret"] * 40), ""),
        (array(b"GETEX", b"k", b"EX", b"NX"), ""),
        (array(b"LPUSH", b"k", b"v", b"NX"), ""),
    ],
)
def test_the_options_of_a_set_are_known_and_nothing_else_of_it(data, options) -> None:
    for chunks in ([data], [bytes([one]) for one in data]):
        (message,) = seen(RedisParser().requests, chunks)
        assert message.options == options
        assert message.key == "k"


def test_the_options_of_one_set_are_not_those_of_the_next() -> None:
    first, second = RedisParser().requests.feed(array(b"SET", b"k", b"v", b"NX") + array(b"SET", b"k", b"v", b"XX"))
    assert (first.options, second.options) == ("NX", "XX")


def test_options_take_no_memory() -> None:
    requests = RedisParser().requests
    requests.feed(b"*1000000\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n" + b"$2\r\nNX\r\n" * 10_000)
    assert len(requests._options) <= 16


@pytest.mark.parametrize(
    ("data", "counts"),
    [
        (array(b"DEL", b"k"), True),
        (b"unlink k\r\n", True),
        (array(b"SETNX", b"k", b"v"), True),
        (array(b"DEL", b"k", b"other"), False),
        (array(b"INCR", b"k"), False),
        (array(b"GET", b"k"), False),
    ],
)
def test_a_number_is_told_only_of_what_counts_keys(data, counts) -> None:
    (message,) = RedisParser().requests.feed(data)
    assert message.counts == counts


@pytest.mark.parametrize(
    ("data", "number"), [(b":1\r\n", 1), (b":-2\r\n", -2), (b":x\r\n", None), (b"*1\r\n:1\r\n", None)]
)
def test_the_number_of_a_reply(data, number) -> None:
    (message,) = RedisParser().replies.feed(data)
    assert message.number == number


def test_the_database_of_a_select_is_its_key() -> None:
    names = [message.key for message in RedisParser().requests.feed(array(b"SELECT", b"3") + array(b"SELECT", b"x"))]
    assert names == ["3", ""]


def test_a_key_behind_a_very_long_script_is_not_waited_for() -> None:
    requests = RedisParser().requests
    script = b"x" * 200_000
    (message,) = requests.feed(array(b"EVAL", script, b"1", b"key")[:100_000])
    assert (message.command, message.key) == ("EVAL", "")


@pytest.mark.parametrize(
    ("words", "answered"),
    [
        ([(b"SUBSCRIBE", b"c")], [True]),
        ([(b"HELLO", b"3"), (b"SUBSCRIBE", b"c"), (b"GET", b"k")], [True, False, True]),
        ([(b"CLIENT", b"REPLY", b"OFF"), (b"GET", b"k"), (b"client", b"reply", b"on")], [False, False, True]),
        ([(b"CLIENT", b"REPLY", b"SKIP"), (b"GET", b"k"), (b"GET", b"k")], [False, False, True]),
        ([(b"CLIENT", b"SETNAME", b"x")], [True]),
    ],
)
def test_what_gets_no_reply_waits_for_none(words, answered) -> None:
    found = RedisParser().requests.feed(b"".join(array(*each) for each in words))
    assert [message.answered for message in found] == answered


def test_a_replication_is_no_exchange() -> None:
    with pytest.raises(NotUnderstood, match="replication"):
        RedisParser().requests.feed(array(b"PSYNC", b"?", b"-1"))


def test_a_push_answers_nothing() -> None:
    push, reply = RedisParser().replies.feed(b">2\r\n+invalidate\r\n*1\r\n+k\r\n+OK\r\n")
    assert (push.unasked, reply.unasked) == (True, False)


def test_errors_are_redis_own() -> None:
    assert RedisParser().refusal(Message(0), "LOADING")().startswith(b"-LOADING ")
    with pytest.raises(LookupError):
        RedisParser().refusal(Message(0), "NOPE")


@pytest.mark.parametrize("empty", [b"\r\n", b"*0\r\n", b"*-1\r\n"])
def test_an_empty_command_is_no_message_since_it_gets_no_reply(empty) -> None:
    said = RedisParser().requests.feed(empty + array(b"PING") + empty)
    assert [message.command for message in said] == ["PING"]


def pushed(kind: bytes, channel: bytes = b"c") -> bytes:
    return b">3\r\n" + b"$%d\r\n%b\r\n$%d\r\n%b\r\n:1\r\n" % (len(kind), kind, len(channel), channel)


HELLO = array(b"HELLO", b"3")
WELCOME = b"%1\r\n+proto\r\n:3\r\n"
NOPERM = b"-NOPERM No permissions to access a channel\r\n"
MOVED = b"-MOVED 866 127.0.0.1:7001\r\n"


def answers(asked: bytes, said: bytes, places=()) -> list[tuple[bool, str]]:
    """Whether each reply is unasked, and its kind; both in RESP3."""
    parser = RedisParser()
    parser.requests.feed(HELLO + asked)
    return [(one.unasked, one.kind) for one in seen(parser.replies, cut(WELCOME + said, places))][1:]


ONE, TWO, GET = array(b"SUBSCRIBE", b"c"), array(b"SUBSCRIBE", b"c", b"d"), array(b"GET", b"k")
SHARD = array(b"SSUBSCRIBE", b"c")
VALUE, WRONG = b"$1\r\nv\r\n", b"-WRONGTYPE\r\n"
YES, NO, PUSH, GOT = (False, "bulk"), (False, "error WRONGTYPE"), (True, "push"), b"subscribe"


@given(st.lists(st.integers(0), max_size=12))
@pytest.mark.parametrize(
    ("asked", "said", "expected"),
    [
        pytest.param(ONE + GET, NOPERM + VALUE, [(True, "error NOPERM"), YES], id="refused"),
        pytest.param(SHARD + GET, MOVED + VALUE, [(True, "error MOVED"), YES], id="moved"),
        pytest.param(ONE + GET, pushed(GOT) + WRONG, [PUSH, NO], id="the next one fails"),
        pytest.param(
            ONE + ONE + GET, pushed(GOT) + NOPERM + WRONG, [PUSH, (True, "error NOPERM"), NO], id="the second"
        ),
        pytest.param(
            TWO + ONE + GET,
            pushed(GOT) + pushed(b"message") + pushed(GOT, b"d") + NOPERM + WRONG,
            [PUSH, PUSH, PUSH, (True, "error NOPERM"), NO],
            id="the second, behind one of two channels",
        ),
        pytest.param(
            ONE + GET, pushed(b"message", GOT) + NOPERM + VALUE, [PUSH, (True, "error NOPERM"), YES], id="a message"
        ),
        pytest.param(
            array(b"UNSUBSCRIBE") + GET,
            pushed(b"unsubscribe") + pushed(b"unsubscribe", b"d") + WRONG,
            [PUSH, PUSH, NO],
            id="from all channels",
        ),
        pytest.param(GET + ONE, WRONG + pushed(GOT), [NO, PUSH], id="the one before fails"),
        pytest.param(
            array(b"MULTI") + ONE + array(b"EXEC") + GET,
            b"+OK\r\n+QUEUED\r\n*1\r\n" + pushed(GOT) + WRONG,
            [(False, "OK"), (False, "QUEUED"), (False, "array"), NO],
            id="within a transaction",
        ),
        pytest.param(
            array(b"CLIENT", b"REPLY", b"SKIP") + ONE + GET, pushed(GOT) + WRONG, [PUSH, NO], id="without replies"
        ),
    ],
)
def test_an_error_in_place_of_a_subscriptions_push_answers_no_other_command(asked, said, expected, places) -> None:
    assert answers(asked, said, places) == expected


def test_a_refused_and_a_repeated_command_keep_the_place_of_a_subscription() -> None:
    parser = RedisParser()
    _, refused, first, *_ = parser.requests.feed(HELLO + GET + GET + ONE + GET)
    parser.took(refused)
    parser.again(first)
    said = parser.replies.feed(WELCOME + VALUE + VALUE + NOPERM + WRONG)
    assert [(one.unasked, one.kind) for one in said][1:] == [YES, YES, (True, "error NOPERM"), NO]


def test_a_subscription_that_is_answered_as_none_can_be_is_not_understood() -> None:
    with pytest.raises(NotUnderstood, match="SUBSCRIBE"):
        answers(ONE, VALUE)


RESET, UNKNOWN, FOREVER = array(b"RESET"), b"-ERR unknown command 'HELLO'\r\n", (True, "array")


OLDER = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"


def exchanged(*steps: tuple[bytes, bytes]) -> tuple[list[bool], list[tuple[bool, str]]]:
    """Whether each request is answered, and whether each reply is unasked, and its kind."""
    parser, asked, said = RedisParser(), [], []
    for request, reply in steps:
        asked += [one.answered for one in parser.requests.feed(request)]
        said += [(one.unasked, one.kind) for one in parser.replies.feed(reply)]
    return asked, said


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([(HELLO, UNKNOWN), (ONE, OLDER)], id="refused"),
        pytest.param([(HELLO, UNKNOWN), (HELLO, b"-NOPROTO\r\n"), (ONE, OLDER)], id="refused twice"),
        pytest.param([(HELLO, WELCOME), (RESET, b"+RESET\r\n"), (ONE, OLDER)], id="reset"),
        pytest.param([(HELLO + RESET + ONE, WELCOME + b"+RESET\r\n" + OLDER)], id="reset, at once"),
        pytest.param([(HELLO, WELCOME), (array(b"HELLO", b"2"), b"*2\r\n+proto\r\n:2\r\n"), (ONE, OLDER)], id="back"),
    ],
)
def test_a_subscription_is_answered_in_resp2_where_resp3_is_not_spoken(steps) -> None:
    asked, said = exchanged(*steps)
    assert asked[-1]
    assert said[-1] == (False, "array")


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([(HELLO, WELCOME), (HELLO, b"-NOAUTH\r\n"), (ONE, pushed(GOT))], id="the second is refused"),
        pytest.param([(HELLO, WELCOME), (RESET, b"-ERR unknown\r\n"), (ONE, pushed(GOT))], id="no RESET"),
        pytest.param([(HELLO, WELCOME), (array(b"HELLO"), WELCOME), (ONE, pushed(GOT))], id="asked what it is"),
        pytest.param(
            [(array(b"CLIENT", b"REPLY", b"SKIP") + HELLO, b""), (ONE, pushed(GOT))], id="granted without a reply"
        ),
    ],
)
def test_a_subscription_is_answered_by_a_push_while_resp3_is_spoken(steps) -> None:
    asked, said = exchanged(*steps)
    assert not asked[-1]
    assert said[-1] == PUSH


def test_a_subscription_sent_before_resp3_was_refused_is_answered_in_resp2() -> None:
    asked, said = exchanged(
        (HELLO + TWO, UNKNOWN + OLDER + OLDER),
        (array(b"PING") + ONE, OLDER + b"*2\r\n$4\r\npong\r\n$0\r\n\r\n" + OLDER),
    )
    assert asked == [True, False, False, False], "what follows is not told from what comes unasked"
    assert said == [(False, "error ERR"), *[FOREVER] * 5]
