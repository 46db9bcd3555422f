"""Kafka: parses each request's header and what it is about; see https://kafka.apache.org/protocol.

A broker answers a connection's requests in order, and each reply has its request's correlation id. No records are kept:
of a Produce only the fields around them are read, of a reply to Fetch only the error at its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final
from uuid import UUID

from harness.errors import FaultError
from harness.taps.kafka_asked import LARGEST, Asked, Unanswered
from harness.taps.kafka_frames import Frames, Reading
from harness.taps.kafka_schema import (
    AFTER,
    ERRORS,
    FINAL,
    NAMES,
    ONLY_AFTER,
    Cursor,
    Misfit,
    Schema,
    error_name,
    flexible_header,
    read,
    schema,
)
from harness.taps.message import LONGEST_KEY, Answer, Message, NotUnderstood, Place, Routes
from harness.taps.names import Names

if TYPE_CHECKING:
    from harness.stack import Record

MOST_PLACES: Final = 1024
"""Places kept of one request or reply: more than a commit names, even of a consumer with very many partitions."""

_PRODUCE, _FETCH, _METADATA, _SASL_HANDSHAKE, _API_VERSIONS, _SHARE_FETCH = 0, 1, 3, 17, 18, 78
_COMMITS: Final = frozenset({8, 28})
"""OffsetCommit and TxnOffsetCommit."""

_PRODUCE_FLEXIBLE, _PRODUCE_BY_ID = 9, 13
"""Versions of Produce from which lengths are compact, and from which topics go by id."""

_FETCH_WITH_ERROR = 7
"""The version from which a reply to Fetch has a top-level error."""

_BEGINNING = 16
"""Bytes at a reply's beginning that contain its top-level error."""

_HIGHEST_KEY = 10_000
"""Highest plausible API key; bytes that claim a higher one are not Kafka's."""

_ABOUT: Final = (
    "group_id",
    "transactional_id",
    "v3_and_below_transactional_id",
    "key",
    "coordinator_keys",
    "groups",
    "groups_names",
    "group_ids",
    "transactions",
    "topic_names",
    "topic_data",
    "topics",
    "v3_and_below_topics",
)
"""Fields that say what a request is about: the first that is not empty counts, and of a list its first element."""

_NAMED: Final = ("group_id", "transactional_id", "name", "topic", "topic_id")
"""The fields that name an element of such a list."""

_TOPICS: Final = frozenset({"name", "topic", "topic_id", "topic_names"})
_GROUPS: Final = frozenset({"group_id", "groups", "groups_names", "group_ids"})


class KafkaParser:
    """Implements ``harness.taps.message.Parser``, ``Naming`` and ``Rerouting``."""

    single: ClassVar[str] = ""
    errors: ClassVar[Mapping[str, str]] = {name: name for name in ERRORS}
    after: ClassVar[Collection[str]] = AFTER
    only_after: ClassVar[Collection[str]] = ONLY_AFTER
    final: ClassVar[Collection[str]] = FINAL
    commands: ClassVar[Collection[str]] = frozenset(NAMES.values())

    def __init__(self) -> None:
        self.names = Names()
        self._unanswered = Unanswered()
        self.requests = Requests(self, self._unanswered)
        self.replies: Replies = Replies(self, self._unanswered)

    def reroute(self, routes: Routes) -> None:
        from harness.taps.kafka_rerouted import Rerouted

        self.replies = Rerouted(self, self._unanswered, routes)

    def took(self, request: Message) -> None:
        self._unanswered.drop(request)

    def repeatable(self, request: Message) -> None:
        if request.command.startswith("Sasl"):
            raise FaultError(f"{request.command}: whoever logs in does so once")
        if request.command == "JoinGroup" or (request.command == "InitProducerId" and request.key):
            raise FaultError(
                f"{request.command}: the answer to a second one would revoke the member or producer that the service hears of"
            )
        if not request.answered:
            raise FaultError(
                f"{request.command}: it waits for no reply (acks=0), so nobody could tell what came of two"
            )

    def again(self, request: Message) -> Message:
        return self._unanswered.again(request)

    def appended(self, sent: bytes, first: Message, second: Message) -> Sequence[Place]:
        from harness.taps.kafka_again import appended

        asked, had, has = second.memo, first.places or (), second.places or ()
        if not isinstance(asked, Asked) or asked.key != _PRODUCE:
            return ()
        if asked.body is None:
            raise FaultError("Produce: a tap cannot tell what it says")
        if len(has) >= MOST_PLACES:
            raise FaultError(f"Produce: it is for {MOST_PLACES} partitions or more, of which a tap keeps no record")
        return appended(sent, asked, had, has, self.names)

    def corrupted(
        self, sent: bytes, request: Message, topics: Collection[str], alter: Callable[[bytes], bytes]
    ) -> tuple[bytes, Record]:
        from harness.taps.kafka_corrupt import corrupted

        asked = request.memo
        if not isinstance(asked, Asked) or asked.key != _PRODUCE:
            raise FaultError(f"{request.command}: it carries no records; write `when: {{request: Produce TOPIC}}`")
        if not request.answered:
            raise FaultError("Produce: it waits for no reply (acks=0), so nobody can tell where its records are")
        if asked.body is None:
            raise FaultError("Produce: a tap cannot tell what it says")
        return corrupted(sent, asked, self.names, topics, alter)

    @classmethod
    def refusable(cls, command: str) -> bool:
        from harness.taps.kafka_refusal import answerable

        return answerable(command)

    def instead(self, request: Message) -> bytes:  # noqa: ARG002 - a connection has no state
        return b""

    def refusal(self, request: Message, error: str) -> Answer:
        from harness.taps.kafka_refusal import refusal

        if not isinstance(request.memo, Asked):
            raise TypeError(f"{request.command} is no request of Kafka's")
        return refusal(request, request.memo, ERRORS[error])


class Requests(Frames):
    """Scans the service's requests."""

    def __init__(self, parser: KafkaParser, unanswered: Unanswered) -> None:
        super().__init__()
        self._parser, self._unanswered = parser, unanswered
        self._raw = False
        """Whether SASL tokens follow, which are not framed as requests."""

    def _frame(self, message: Message) -> Reading:
        if self._raw:
            raise NotUnderstood("SASL's own tokens, which the first version of SaslHandshake is followed by")
        try:
            head = yield from self._take(10)
            key, version = (int.from_bytes(head[at : at + 2], "big", signed=True) for at in (0, 2))
            client = int.from_bytes(head[8:], "big", signed=True)
            yield from self._skip(max(client, 0))
        except Misfit:
            raise NotUnderstood("a message that is too short for the header of a Kafka request") from None
        if not 0 <= key <= _HIGHEST_KEY or version < 0 or client < -1:
            raise NotUnderstood(f"{head!r} is no header of a Kafka request")
        asked = message.memo = Asked(key, version, int.from_bytes(head[4:8], "big", signed=True))
        message.command = NAMES.get(key, f"API {key}")
        self._raw = key == _SASL_HANDSHAKE and version == 0
        kind = schema(key, version, "request")
        try:
            if kind is not None and flexible_header(kind):
                yield from self._tags(bytearray())
            if kind is None:
                self._known(message)
            elif key == _PRODUCE:
                yield from self._produce(message, asked)
            else:
                yield from self._small(message, asked, kind)
        except Misfit:
            # A length in the request is wrong: leave it to the broker to refuse it.
            if not self._told:
                self._known(message)

    def _small(self, message: Message, asked: Asked, kind: Schema) -> Reading:
        """Read a request whole, unless it is too large."""
        if self._left > LARGEST:
            self._known(message)
            return
        body = yield from self._take(self._left)
        fields, whole = read(kind, Cursor(body))
        if whole:
            self._unanswered.keep(asked, body)
        names = self._parser.names
        message.key = _key(fields, names)
        if asked.key in _COMMITS:
            found = _places(fields, "partitions", "partition_index", "committed_offset", names)
            # A part of them would say of the others that they were not committed.
            message.places = found if whole and len(found) < MOST_PLACES else None
        self._known(message)

    def _produce(self, message: Message, asked: Asked) -> Reading:
        """Read the fields around the records; the key is the first topic, since the others come after its records."""
        asked.comes = True
        flexible = asked.version >= _PRODUCE_FLEXIBLE
        out = bytearray()
        yield from self._take_into(out, max(0, (yield from self._length(None if flexible else 2, out))))
        yield from self._take_into(out, 6)
        message.answered = out[-6:-4] != b"\0\0"  # acks
        for _ in range((yield from self._length(None if flexible else 4, out))):
            by_id = asked.version >= _PRODUCE_BY_ID
            size = 16 if by_id else (yield from self._length(None if flexible else 2, out))
            yield from self._take_into(out, size)
            if not self._told:
                message.key = _topic(bytes(out[len(out) - size :]), by_id=by_id, names=self._parser.names)
                self._known(message)
            yield from self._partitions(out, flexible=flexible)
        if flexible:
            yield from self._tags(out)
        if self._left:
            raise Misfit
        self._unanswered.keep(asked, bytes(out))
        if not self._told:
            self._known(message)

    def _partitions(self, out: bytearray, *, flexible: bool) -> Reading:
        """Read a topic's partitions, leaving out their records."""
        for _ in range((yield from self._length(None if flexible else 4, out))):
            yield from self._take_into(out, 4)
            size = yield from self._length(None if flexible else 4, bytearray())
            yield from self._skip(max(size, 0))
            out += b"\0" if flexible else b"\xff\xff\xff\xff"
            if flexible:
                yield from self._tags(out)
        if flexible:
            yield from self._tags(out)

    def _known(self, message: Message) -> None:
        """Report the message, and expect its reply if it gets one."""
        if message.answered:
            self._unanswered.add(message)
        self._tell()


class Replies(Frames):
    """Scans the broker's replies."""

    def __init__(self, parser: KafkaParser, unanswered: Unanswered) -> None:
        super().__init__()
        self._parser, self._unanswered = parser, unanswered

    def _frame(self, message: Message) -> Reading:
        try:
            number = int.from_bytes((yield from self._take(4)), "big", signed=True)
        except Misfit:
            raise NotUnderstood("a message that is too short for the header of a Kafka reply") from None
        asked = self._unanswered.next()
        if asked is None:
            raise NotUnderstood(f"a reply to request {number}, and none waits for one")
        if asked.number != number:
            raise NotUnderstood(f"a reply to request {number}, where that to another is due")
        self._tell()
        yield from self._body(message, asked, schema(asked.key, asked.version, "reply"))

    def _body(self, message: Message, asked: Asked, kind: Schema | None) -> Reading:
        """Read what follows the correlation id; nothing of a version that kio does not know."""
        if kind is None:
            return
        if asked.key in {_API_VERSIONS, _FETCH, _SHARE_FETCH}:
            beginning = yield from self._take(min(self._left, _BEGINNING))
            message.kind = _early_kind(asked, beginning, flexible=flexible_header(kind))
        elif self._left <= LARGEST:
            self._understand(message, asked, kind, Cursor((yield from self._take(self._left))))

    def _understand(
        self, message: Message, asked: Asked, kind: Schema, cursor: Cursor
    ) -> tuple[dict[str, Any], bool]:
        """Return a reply's fields, up to the first that cannot be parsed, and whether all could."""
        if flexible_header(kind):
            try:
                cursor.tags()
            except Misfit:
                return {}, False
        fields, whole = read(kind, cursor)
        if whole:
            message.kind = _kind(cursor.error)
            self._read(message, asked.key, fields)
        return fields, whole

    def _read(self, message: Message, key: int, fields: dict[str, Any]) -> None:
        """Note what a reply says besides its error."""
        names = self._parser.names
        if key == _PRODUCE:
            message.places = _places(fields, "partition_responses", "index", "base_offset", names)
        elif key == _METADATA:
            for topic in fields["topics"] or ():
                if topic.get("topic_id") is not None and topic.get("name"):
                    names.learn(topic["topic_id"], topic["name"])


def _early_kind(asked: Asked, beginning: bytes, *, flexible: bool) -> str:
    """Return the kind of a reply by the error at its beginning; empty if the version has none there."""
    cursor = Cursor(beginning)
    try:
        if asked.key == _API_VERSIONS:
            # A broker that does not know the request's version answers in version 0, which begins alike.
            return _kind(cursor.number(2))
        if asked.key == _FETCH and asked.version < _FETCH_WITH_ERROR:
            return ""
        if flexible:
            cursor.tags()
        cursor.take(4)  # the throttle
        return _kind(cursor.number(2))
    except Misfit:
        return ""


def _kind(error: int) -> str:
    return error_name(error) if error else "ok"


def _key(fields: dict[str, Any], names: Names) -> str:
    """Return what a request is about: its group, else its transactional id, else its first topic."""
    for about in _ABOUT:
        if not (value := fields.get(about)):
            continue
        name = about
        if isinstance(value, list):
            value = value[0]
            if isinstance(value, dict):
                name = next((one for one in _NAMED if value.get(one) is not None), about)
                value = value.get(name)
        if name in _TOPICS:
            return names.topic(value)[:LONGEST_KEY]
        if isinstance(value, str):
            is_group = name in _GROUPS or (name in {"key", "coordinator_keys"} and not fields.get("key_type"))
            return (names.group(value) if is_group else value)[:LONGEST_KEY]
    return ""


def _topic(name: bytes, *, by_id: bool, names: Names) -> str:
    return names.topic(UUID(bytes=name) if by_id else name.decode(errors="replace"))[:LONGEST_KEY]


def _places(fields: dict[str, Any], partitions: str, index: str, offset: str, names: Names) -> list[Place]:
    found: list[Place] = []
    for topic in fields.get("topics") or fields.get("responses") or ():
        name = names.topic(topic.get("name") or topic.get("topic_id"))
        for one in topic.get(partitions) or ():
            if len(found) == MOST_PLACES:
                return found
            if not one.get("error_code"):
                found.append((name, one[index], one[offset]))
    return found
