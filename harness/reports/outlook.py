"""What a system file lets a run do and see, before anything is started: links, effects, checks, and what stays unseen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from harness.effects import Effects, Files, HttpList, OutputTopic, RedisKeys, Sql, Total, forms
from harness.model import said
from harness.redaction import anonymous
from harness.system import System, checks
from harness.system_events import TypeByTopic
from harness.system_load import Load
from harness.verdict import Checker

_LONGEST: Final = 100
"""Characters of a query to print."""


def outlook(system: System, checkers: Sequence[Checker]) -> Iterator[str]:
    """Yield lines: how each part is started, linked, loaded, read and checked, and what cannot be seen."""
    yield from _part("links", _links(system))
    yield from _part("load", _load(system))
    yield from _part("read", _read(system))
    yield from _part("effects", _effects(system))
    yield from _part("checks", _checks(system, checkers))
    yield from _part("cannot be seen", unseen(system))


def unseen(system: System) -> Iterator[str]:
    """Yield what a run cannot see with this system file, and what to write so that it can."""
    yield from _unseen_effects(system)
    if all(rule.of != "upload" for rule in system.outcomes):
        yield "an acknowledged upload that came to nothing: no outcome is `of: upload`"
    if all(rule.of in {"upload", "batch"} for rule in system.outcomes):
        yield "an event that nothing follows, or too much: no outcome is of an event type"
    if system.dead_letters is None:
        yield "a record that was set aside, rightly or not: there are no `dead_letters`"
    if system.blobs is None:
        yield "a raw blob that was lost or changed: there are no `blobs`"
    elif not _names_blobs(system.load) and system.events.raw is None:
        yield "a raw blob that was lost or changed: neither `load.upload.blob` nor `events.raw` says where one is named"
    if system.events.cause is None:
        yield "which event caused which, in a story: there is no `events.cause`"


def _names_blobs(load: Load) -> bool:
    """Whether an answer may name the raw blob."""
    return load.command is not None or (load.upload is not None and load.upload.blob is not None)


def _unseen_effects(system: System) -> Iterator[str]:
    broker = set(system.of_kind("kafka"))
    if not system.effects:
        yield "an effect, lost or doubled: no service says what it changes; write `effects:`"
    for name, service in system.services.items():
        if name not in system.effects and service.placeholders() & broker and name != system.load.front:
            yield f"what {name} applies, if it applies events: write `effects.{name}`"
    for name, effects in system.effects.items():
        query = _query(effects)
        if query is not None and not re.search(r"\bcarries\b", query, re.IGNORECASE):
            yield f"whether {name} applied what its event carries: its query has no `carries`"
        for form, described in forms(effects).items():
            if getattr(described, "carries", "") is None:
                yield f"whether {name} applied what its event carries: its `{form}` has no `carries`"
        if not effects.applies:
            yield f"an effect that {name} lost: `effects.{name}.applies` names no event type"


def _part(name: str, lines: Iterator[str]) -> Iterator[str]:
    first, *others = [*lines] or ["nothing"]
    yield f"  {name:<14}  {first}"
    for line in others:
        yield f"  {'':<14}  {line}"


def _links(system: System) -> Iterator[str]:
    counted = Counter((replica.partition("#")[0], target) for replica, target in system.links())
    for (service, target), count in counted.items():
        replicas = f"{service}#1" if count == 1 else f"{service}#1 to #{count}"
        yield f"{replicas}->{target}"


def _load(system: System) -> Iterator[str]:
    if (door := system.load.upload) is not None:
        where = door.id_header or ("the request" if door.identified else "nothing that it sends")
        yes = " or ".join(map(str, sorted(door.accepted)))
        yield f"{door.method} {door.path} of {door.to}, id in {where}; {yes} says yes"
    if (client := system.load.command) is not None:
        yield f"through the program {anonymous(client.run)}, one line of JSON for each operation"
    if system.load.uploads is not None and (files := system.load.uploads.files) is not None:
        yield f"the files in {files.folder}{' beside generated documents' if files.generated else ''}"
    if (published := system.load.publish) is not None:
        yield f"events on the topic {published.topic}, past the proxies"


def _read(system: System) -> Iterator[str]:
    events = system.events
    kind = "type by topic" if isinstance(events.type, TypeByTopic) else f"type at {said(events.type)}"
    decoded = ", decoded" if events.decode is not None else ""
    yield f"topics {', '.join(events.topics) or 'none'}{decoded}: id at {said(events.id)}, {kind}"
    if system.dead_letters is not None:
        yield f"dead letters on {system.dead_letters.topic}"
    if system.blobs is not None:
        yield f"blobs from {anonymous(system.blobs.get)}"


def _effects(system: System) -> Iterator[str]:
    for name, effects in system.effects.items():
        applied = ", ".join(effects.applies) or "nothing"
        if effects.countable:
            one, where = _place(effects)
            yield f"{name}: one {one} for each {applied}: {where}"
        if effects.total is not None:
            yield f"{name}: sums that each {applied} adds {effects.total.adds} to: {_place(effects.total)[1]}"


def _place(read: Effects | Total) -> tuple[str, str]:
    """Return what one effect is, and where it is read."""
    match read:
        case Effects(topic=OutputTopic(name=name)):
            return "record", f"on {name}"
        case Effects(command=str(command)) | Total(command=str(command)):
            return "line", _shown(command)
        case Effects(redis=RedisKeys(keys=keys)) | Total(redis=RedisKeys(keys=keys)):
            return "entry", f"in the keys {anonymous(keys)}"
        case Effects(http=HttpList(url=url)) | Total(http=HttpList(url=url)):
            return "element", f"of the list at {anonymous(url)}"
        case Effects(files=Files(folder=folder, names=names)):
            return "file", f"{anonymous(folder)}/{names}"
        case Effects(sql=Sql(query=query)) | Total(sql=Sql(query=query)):
            return "row", _shown(query)
    raise LookupError(read)


def _shown(query: str) -> str:
    words = " ".join(query.split())
    return anonymous(words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…")


def _query(effects: Effects) -> str | None:
    return effects.sql.query if effects.sql is not None else None


def _checks(system: System, checkers: Sequence[Checker]) -> Iterator[str]:
    header = {"plan": {"checks": checks(system)}}
    for checker in checkers:
        if checker.applies(header):
            yield f"{checker.name}: {', '.join(anomaly.name for anomaly in checker.anomalies if anomaly.verdict is not None)}"
        else:
            yield f"{checker.name}: not checked"
