"""Replaces the broker addresses in Kafka's replies, for a link whose broker has no listener of its own.

A client connects to whatever address a reply names, so each is replaced by one that leads there through the link. If
that changes a reply's length, the tap reads all of the reply before it passes; such replies are small. Replies to Fetch
and Produce may name a moved partition's new leader, those to Fetch after records that have passed already. It is
hidden: the client then asks for Metadata, as if the broker named none. A reply that cannot be parsed does not pass.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Generator
from functools import cache
from typing import Any, Final, get_args, get_origin

from harness.taps.kafka import KafkaParser, Replies
from harness.taps.kafka_asked import LARGEST, Asked, Unanswered
from harness.taps.kafka_frames import Reading
from harness.taps.kafka_schema import (
    NAMES,
    SIZES,
    Cursor,
    Misfit,
    Schema,
    error_name,
    flexible_header,
    highest,
    read,
    schema,
    without_none,
)
from harness.taps.message import Edit, Message, NotUnderstood, Routes

ADDRESSED: Final = {3: ("brokers",), 10: ("coordinators", "port"), 60: ("brokers",), 79: ("node_endpoints",)}
"""API key of Metadata, FindCoordinator, DescribeCluster and ShareAcknowledge -> the field, in newer
and in older versions, that completes all addresses of its reply."""

ENDPOINTS: Final = "node_endpoints"
"""The field that names brokers in the replies of all other APIs."""

_PRODUCE, _FETCH, _API_VERSIONS, _SHARE_FETCH = 0, 1, 18, 78
HIDDEN: Final = frozenset({_PRODUCE, _FETCH, _SHARE_FETCH})

_UNSUPPORTED_VERSION = 35
_NOBODYS: Final = 0x7F
"""Number of a tagged field that no version defines, so that clients skip it."""

_SIZED: Final = 4
"""Bytes of the padded varint that holds the length of a hidden field."""

_BEGINNING: Final = 2
"""Fields at the beginning of a reply to Fetch or ShareFetch: throttle time and error, six bytes."""


class Rerouted(Replies):
    """Scans the broker's replies, and replaces addresses that lead past the link; implements ``Editing``."""

    def __init__(self, parser: KafkaParser, unanswered: Unanswered, routes: Routes) -> None:
        super().__init__(parser, unanswered)
        self._routes = routes
        self.held: int | None = None
        self.edits: deque[Edit] = deque()

    def _begin(self, start: int) -> Message:
        self.held = start
        return super()._begin(start)

    def _body(self, message: Message, asked: Asked, kind: Schema | None) -> Reading:
        if asked.version > highest(asked.key) and asked.key != _API_VERSIONS:
            raise NotUnderstood(f"{_name(asked)}, whose reply may name brokers that no proxy leads to")
        try:
            if asked.key == _API_VERSIONS:
                self._lower(asked, (yield from self._take(self._left if self._left <= LARGEST else -1)), message)
            elif kind is not None and asked.key in ADDRESSED:
                begun = self._ends - self._left
                body = yield from self._take(min(self._left, LARGEST))
                self._reroute(message, asked, kind, Cursor(body), begun)
            elif kind is not None and asked.key in HIDDEN and _names_brokers(kind):
                yield from self._hide(message, asked, kind)
            else:
                self.held = None
                yield from super()._body(message, asked, kind)
        except Misfit:
            raise NotUnderstood(
                f"a reply to {_name(asked)} that is too large, or not what its definition says"
            ) from None
        self.held = None

    def _reroute(self, message: Message, asked: Asked, kind: Schema, cursor: Cursor, begun: int) -> None:
        """Replace the addresses in a reply, and its length to match."""
        fields, _ = self._understand(message, asked, kind, cursor)
        if not any(name in fields for name in ADDRESSED[asked.key]):
            raise Misfit
        flexible, grown, edits = bool(kind.__flexible__), 0, []
        places = [place for place in cursor.noted if place[0] in {"host", "port"}]
        for (_, start, _, host), (_, _, end, port) in zip(places[::2], places[1::2], strict=True):
            if not isinstance(host, str) or not isinstance(port, int):
                raise Misfit
            if not host:  # no broker
                continue
            if (to := self._routes.get((host, port))) is None:
                raise NotUnderstood(f"a broker at {host}:{port} in a reply to {_name(asked)}: no proxy leads to it")
            new = _address(*to, flexible=flexible)
            edits.append((begun + start, begun + end, new))
            grown += len(new) - (end - start)
        if edits:
            length = self._ends - message.start - 4 + grown
            self.edits.append((message.start, message.start + 4, length.to_bytes(4, "big")))
            self.edits.extend(edits)

    def _lower(self, asked: Asked, body: bytes, message: Message) -> None:
        """Lower the versions that a reply to ApiVersions offers to those that a tap knows."""
        begun = self._ends - len(body)
        error = Cursor(body).number(2)
        message.kind = error_name(error) if error else "ok"
        # A broker that does not know the request's version answers in version 0.
        kind = schema(_API_VERSIONS, 0 if error == _UNSUPPORTED_VERSION else asked.version, "reply")
        cursor = Cursor(body)
        if kind is None:
            raise NotUnderstood(f"{_name(asked)}, whose reply no tap can read")
        fields, _ = read(kind, cursor)
        places = [place for place in cursor.noted if place[0] == "max_version"]
        for api, (_, start, end, most) in zip(fields.get("api_keys") or (), places, strict=False):
            if api["api_key"] in NAMES and isinstance(most, int) and most > (known := highest(api["api_key"])) >= 0:
                self.edits.append((begun + start, begun + end, known.to_bytes(2, "big")))
        if "api_keys" not in fields:
            raise Misfit

    def _hide(self, message: Message, asked: Asked, kind: Schema) -> Reading:
        """Hide from the client which brokers a reply names."""
        if asked.key == _PRODUCE:
            begun = self._ends - self._left
            cursor = Cursor((yield from self._take(self._left if self._left <= LARGEST else -1)))
            _, whole = self._understand(message, asked, kind, cursor)
            if not whole:
                raise Misfit
            hidden = [at for at, tag in cursor.tagged if tag == _tag(kind)]
            self.edits.extend(_renumbered(begun + at, cursor.byte(at)) for at in hidden)
            return
        # Records pass as they are skipped; none is kept.
        self.held = None
        if flexible_header(kind):
            yield from self._tags(bytearray())
        error = int.from_bytes((yield from self._take(6))[4:], "big", signed=True)
        message.kind = error_name(error) if error else "ok"
        yield from self._past(kind, _BEGINNING)
        if asked.key == _SHARE_FETCH:
            yield from self._empty()
        else:
            yield from self._renumber(_tag(kind))

    def _past(self, of: Any, first: int = 0) -> Reading:  # noqa: ANN401 - a class of kio's
        """Skip the fields of a class from index ``first`` on, up to the endpoints or the tagged fields."""
        for size, inner in _steps(of, first):
            if inner is None:
                yield from self._skip(size if size >= 0 else max((yield from self._length(None, bytearray())), 0))
                continue
            for _ in range(size if size >= 0 else (yield from self._length(None, bytearray()))):
                yield from self._past(inner)
                yield from self._tags(bytearray())

    def _renumber(self, hidden: int) -> Reading:
        """Give the tagged field of the endpoints a number that no version defines."""
        for _ in range((yield from self._varint(bytearray()))):
            at, tag = self._ends - self._left, bytearray()
            if (yield from self._varint(tag)) == hidden:
                self.edits.append(_renumbered(at, tag[0]))
            yield from self._skip((yield from self._varint(bytearray())))

    def _empty(self) -> Generator[int, bytes, None]:
        """Make a list empty, and turn its contents and all that follows into a tagged field that no version defines."""
        at, count = self._ends - self._left, bytearray()
        # Held first: the bytes of the count may come apart, and the first one is replaced, too.
        self.held = at
        if (yield from self._varint(count)) <= 1:
            self.held = None
            return
        new = b"\1\1" + bytes([_NOBODYS])
        inside = len(count) + self._left - len(new) - _SIZED
        new += bytes(
            (inside >> shift & 0x7F) | (0x80 if shift < 7 * (_SIZED - 1) else 0) for shift in range(0, 28, 7)
        )
        yield from self._take(len(new) - len(count))
        self.edits.append((at, at + len(new), new))


def _name(asked: Asked) -> str:
    return f"{NAMES.get(asked.key, f'API {asked.key}')} of version {asked.version}"


def _address(host: str, port: int, *, flexible: bool) -> bytes:
    text = host.encode()
    length = _varint(len(text) + 1) if flexible else len(text).to_bytes(2, "big")
    return length + text + port.to_bytes(4, "big")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - what one byte holds
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _renumbered(at: int, first: int) -> Edit:
    """Return the edit that hides the tag at an offset; keeps the continuation bit of its ``first`` byte."""
    return at, at + 1, bytes([first | _NOBODYS])


@cache
def _names_brokers(kind: Schema) -> bool:
    return any(field.name == ENDPOINTS for field in dataclasses.fields(kind))


@cache
def _tag(kind: Schema) -> int:
    (field,) = (field for field in dataclasses.fields(kind) if field.name == ENDPOINTS)
    return int(field.metadata["tag"])


@cache
def _steps(of: Any, first: int = 0) -> tuple[tuple[int, Any], ...]:  # noqa: ANN401 - a class of kio's
    """Return the steps to skip a flexible class: a number of bytes, or of parts of a class; -1 if a length precedes."""
    steps: list[tuple[int, Any]] = []
    for field in [field for field in dataclasses.fields(of) if "tag" not in field.metadata][first:]:
        if field.name == ENDPOINTS:
            break
        name, (kind, _) = field.metadata.get("kafka_type"), without_none(field.type)
        if name is None:
            is_list = get_origin(kind) is tuple
            steps.append((-1, without_none(get_args(kind)[0])[0]) if is_list else (1, kind))
        elif name in {"string", "bytes", "records"}:
            steps.append((-1, None))
        elif steps and steps[-1][1] is None and steps[-1][0] >= 0:
            steps[-1] = (steps[-1][0] + SIZES[str(name)], None)
        else:
            steps.append((SIZES[str(name)], None))
    return tuple(steps)
