"""A broker, a store, or any other server that the services use."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from harness.model import PLACEHOLDER, Command, Model, Name

FILLED: Final = frozenset({"port", "data"})
"""Placeholders in the command and the environment of a dependency of kind tcp."""

_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|.|$)", re.DOTALL)
_NAMED: Final = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


def _one(escape: re.Match[str]) -> str:
    name = escape[1]
    if len(name) > 1:
        return chr(int(name[1:], 16))
    if name not in _NAMED:
        raise ValueError(rf"\{name} is no escape; known: \r \n \t \0 \x41 \\")
    return _NAMED[name]


def octets(text: str) -> bytes:
    """Return the bytes that a text with escapes stands for; ValueError if it is none."""
    if not text.isascii():
        raise ValueError(r"write bytes beyond ASCII as \x80 to \xff")
    return _ESCAPE.sub(_one, text).encode("latin-1")


def _bytes(value: str) -> str:
    octets(value)
    return value


def _some(value: str) -> str:
    if not value:
        raise ValueError("write what it must contain: a server that accepts a connection may still not serve")
    return value


Bytes = Annotated[str, AfterValidator(_bytes), Field(title="bytes")]
r"""Text with the escapes ``\r \n \t \0 \x41 \\``; each of its characters is one byte."""


class Ping(Model):
    r"""How to ask a server whether it is there, in single quotes or none: ``version\r\n``, ``AMQP\0\0\x09\x01``."""

    send: Bytes = ""
    r"""What to send, with escapes, for example ``version\r\n``; default: nothing, for a server that speaks first."""
    answer: Annotated[Bytes, AfterValidator(_some)]
    """What its answer must contain, with the same escapes, for example ``VERSION``."""


class Dependency(Model):
    """A broker, a store, or of kind ``tcp`` any other server; its kind is its name unless ``kind`` says otherwise.

    ``command``, ``image``, ``env``, ``ping`` and ``speaks`` are for kind ``tcp`` only; the harness knows the other kinds.
    """

    kind: Literal["kafka", "redis", "postgres", "tcp"] | None = None
    """The kind, if the name does not say it, for example ``redis`` in ``cache: {kind: redis}``."""
    topics: dict[Name, Annotated[int, Field(ge=1, le=256)]] = {}
    """A broker's topics, each with its number of partitions, for example ``{orders: 4, dead-letters: 1}``."""
    config: dict[str, str] = Field(default={}, repr=False)
    """The server's own settings as text, for example ``{appendonly: "yes", maxmemory: 256mb}``.

    A Redis saves its data when it is shut down cleanly, unless ``save: ""`` says otherwise.
    """
    command: Command | None = Field(default=None, repr=False)
    """The command that starts it, run in the system file's folder; in a container it replaces the image's own.

    ``{port}`` is where it must listen, on 127.0.0.1, and ``{data}`` a folder of its own, which is kept when it restarts:
    ``memcached -l 127.0.0.1 -p {port}``.
    """
    image: str | None = None
    """The image of its container on the docker stack, for example ``memcached:1.6``."""
    env: dict[str, str] = Field(default={}, repr=False)
    """Its environment, as a service's, for example ``{MQ_PORT: "{port}"}``. It is not printed, as it may hold secrets."""
    ping: Ping | None = None
    r"""How to ask whether it is there, for example ``{send: 'version\r\n', answer: VERSION}``."""
    speaks: Literal["http", "postgres", "redis"] | None = None
    """The protocol of its links, if it is one that taps read; faults can then act at its messages."""

    @model_validator(mode="after")
    def _of_its_kind(self) -> Dependency:
        if self.kind != "tcp":
            if other := self._given("command", "env", "image", "ping", "speaks"):
                raise ValueError(f"{other}: only a dependency of kind tcp has one; write kind: tcp, or leave it out")
            return self
        if other := self._given("config", "topics"):
            raise ValueError(f"{other}: a dependency of kind tcp has none; its command and env say how it starts")
        if self.ping is None:
            raise ValueError(
                r"ping: write what to send and what the answer holds, such as {send: 'version\r\n', answer: VERSION}"
            )
        texts = (self.command or "", *self.env.values())
        used = {name for text in texts for name in PLACEHOLDER.findall(text)}
        if unknown := sorted(used - FILLED):
            raise ValueError(f"{{{unknown[0]}}} is unknown; known: {', '.join(sorted(FILLED))}")
        if (self.command or self.image) and "port" not in used:
            raise ValueError("command: it must listen on {port}; write that there, or in env")
        return self

    def _given(self, *fields: str) -> str | None:
        """Return the first of the fields that is not empty; a plan writes empty fields, too."""
        return next((name for name in fields if getattr(self, name)), None)
