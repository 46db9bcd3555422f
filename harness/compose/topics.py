"""The topics that a compose file names: in what makes them, and in the environments of those that use them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from harness.compose.file import Container
from harness.compose.images import kind

_CREATED: Final = re.compile(r"--create\b(?:(?!--create\b).)*", re.DOTALL)
_TOPIC: Final = re.compile(r"--topic[= ]+['\"]?([A-Za-z0-9._-]+)")
_PARTITIONS: Final = re.compile(r"(?:--partitions|-p)[= ]+['\"]?(\d+)")
_RPK: Final = re.compile(r"\brpk\s+topic\s+create\s+([^;&|\n]*)")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]*[A-Za-z][A-Za-z0-9._-]*")

_NAMES_TOPICS: Final = re.compile(r"topic", re.IGNORECASE)
_BUT_NONE: Final = re.compile(
    r"partition|prefix|suffix|retention|replica|create|pattern|regex|enable|count|timeout|_ms$|policy|compression",
    re.IGNORECASE,
)
_NAMES_OTHERS: Final = re.compile(
    r"name|service|app|db|database|schema|table|user|host|group|client|id$", re.IGNORECASE
)
_WORDS: Final = frozenset({"true", "false", "none", "null", "yes", "no"})
_MOST: Final = 256


def made(containers: Iterable[Container]) -> dict[str, int | None]:
    """Return the topics that a broker or a command creates, each with its partitions if they are said."""
    found: dict[str, int | None] = {}
    for container in containers:
        for text in container.env.get("KAFKA_CREATE_TOPICS", "").split(","):
            name, _, rest = text.strip().partition(":")
            if _NAME.fullmatch(name):
                found[name] = _number(rest.partition(":")[0])
        for each in _CREATED.findall(container.command):
            if topic := _TOPIC.search(each) or _TOPIC.search(container.command):
                partitions = _PARTITIONS.search(each)
                found[topic[1]] = _number(partitions[1] if partitions else "")
        for words in _RPK.findall(container.command):
            partitions = _PARTITIONS.search(words)
            for name in re.sub(r"-+\w+[= ]+\S+", "", words).split():
                if _NAME.fullmatch(name):
                    found[name] = _number(partitions[1] if partitions else "")
    return found


def makes(container: Container) -> bool:
    """Whether a container of a broker's image only creates topics."""
    return kind(container.image) == "kafka" and bool(re.search(r"kafka-topics|rpk\s+topic", container.command))


def used(key: str, value: str, known: Collection[str] = ()) -> list[str]:
    """Return the topics that a variable names; none if it does not seem to name any.

    It does if its name says so, or if its value is a list of ``known`` topics and its name says nothing else.
    """
    names = [name.strip() for name in value.split(",")]
    if not _NAMES_TOPICS.search(key):
        return names if set(names) <= set(known) and not _NAMES_OTHERS.search(key) else []
    if _BUT_NONE.search(key):
        return []
    return names if all(_NAME.fullmatch(name) and name.lower() not in _WORDS for name in names) else []


def named(topics: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each topic with the name that it gets in a system file."""
    taken: set[str] = set()
    for topic in topics:
        plain = name = re.sub(r"^[^a-z]+|[^a-z0-9_-]", lambda match: "-" if match.start() else "", topic.lower())[:60]
        number = 2
        while not name or name in taken:
            name, number = f"{plain or 'topic'}-{number}", number + 1
        taken.add(name)
        yield topic, name


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,4}", text) and 1 <= int(text) <= _MOST else None
