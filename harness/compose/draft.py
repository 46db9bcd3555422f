"""The draft of a system file: what a compose file says of a system, and what it cannot say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.compose import dependencies, names, topics
from harness.compose.addresses import Hosts, behind, published
from harness.compose.file import Compose, Container
from harness.compose.images import is_tool, kind, last
from harness.compose.service import MOST, Reader
from harness.compose.variables import said
from harness.errors import FileError
from harness.files.todo import todo


@dataclass(frozen=True, slots=True)
class Draft:
    """A system file's document, what to say of its parts, and what was left out."""

    document: dict[str, Any]
    notes: Mapping[str, Sequence[str]]
    """Comments by part, such as ``services.shop``."""
    left_out: Mapping[str, str]
    """Why, by service of the compose file."""
    names: Mapping[str, str]
    """The name in the system file, by service of the compose file."""


def draft(compose: Compose) -> Draft:
    """Draft a system; FileError if the compose file describes none."""
    out = {one.name: why for one in compose.containers if (why := _left_out(one))}
    inside = [one for one in compose.containers if one.name not in out]
    stores = [one for one in inside if kind(one.image) and one.built is None]
    tested = [one for one in inside if one not in stores]
    if not tested:
        why = " ".join(", ".join(f"{name} ({reason})" for name, reason in out.items()).split())
        raise FileError(
            f"no service is left to test: brokers and stores are dependencies{'; left out: ' if why else ''}{why}",
            path=str(compose.path),
            field="services",
        )
    called = names.of_dependencies(stores)
    apart: set[str] = set()
    while True:
        own = names.of_services(tested, set(called.values()), apart)
        services, unlike = _services(compose, inside, {**called, **own}, out)
        if not unlike:
            break
        apart |= unlike
    _starts(services)
    broker = next((called[one.name] for one in stores if kind(one.image) == "kafka"), "")
    return Draft(
        {
            "oneffect": 1,
            "name": names.plain(said(compose.name)),
            "dependencies": _dependencies(compose, stores, called, broker),
            "services": services,
            **_asked(services, broker or "kafka", _topics(compose), called, stores),
        },
        _notes(stores, tested, called, own),
        out,
        {**called, **own},
    )


def _left_out(one: Container) -> str:
    """Say why a container is no part of the system; empty if it is one."""
    if one.profiles:
        return f"profile {said(one.profiles[0])}"
    if topics.makes(one):
        return "makes topics, as oneffect does"
    if one.once:
        return "runs once, and oneffect starts services only"
    if last(one.image) == "toxiproxy":
        return "oneffect has its own proxies"
    if one.replicas == 0:
        return "no replicas"
    return "a tool" if is_tool(one.image) and one.built is None else ""


def _topics(compose: Compose) -> dict[str, int | None]:
    """Return every topic that the file names, with its partitions if it says them."""
    found = topics.made(compose.containers)
    for container in compose.containers:
        if kind(container.image) is None:
            for key, text in container.env.items():
                found |= {topic: None for topic in topics.used(key, text) if topic not in found}
    return found


def _services(
    compose: Compose, inside: Sequence[Container], called: Mapping[str, str], out: Mapping[str, str]
) -> tuple[dict[str, dict[str, Any]], set[str]]:
    """Return the services by name, and the names shared by containers that are not replicas of one service."""
    stores = {one.name: kind(one.image) for one in inside if kind(one.image) and one.built is None}
    hosts = {host: called[one.name] for one in inside for host in one.hosts}
    reader = Reader(
        Hosts(
            hosts,
            {
                host: out[one.name]
                for one in compose.containers
                if one.name in out
                for host in one.hosts - hosts.keys()
            },
            {**published(compose.containers), **behind(compose, compose.containers)},
            frozenset(called[name] for name, of in stores.items() if of == "postgres"),
        ),
        dict(topics.named(_topics(compose))),
        next((called[name] for name, of in stores.items() if of == "kafka"), ""),
    )
    made: dict[str, dict[str, Any]] = {}
    alike: dict[str, list[dict[str, Any]]] = {}
    for one in inside:
        if one.name not in stores:
            alike.setdefault(called[one.name], []).append(reader.service(one))
    for name, each in alike.items():
        made[name] = each[0] if len(each) == 1 else _joined(each[0], each[0].get("replicas", 1) * len(each))
    return made, {name for name, each in alike.items() if not _one(each)}


def _one(each: Sequence[Mapping[str, Any]]) -> bool:
    """Whether containers whose names differ only by a number are replicas of one service."""
    replicas = each[0].get("replicas", 1)
    return len(each) == 1 or (
        all(one == each[0] for one in each) and isinstance(replicas, int) and replicas * len(each) <= MOST
    )


def _joined(service: Mapping[str, Any], replicas: Any) -> dict[str, Any]:  # noqa: ANN401 - looked at in _one
    ready = {"env": service["env"], "ready": service["ready"]}
    return {**{key: value for key, value in service.items() if key not in ready}, "replicas": replicas, **ready}


def _starts(services: Mapping[str, dict[str, Any]]) -> None:
    """Ask for missing commands: a stack starts every service from a command, or every one from an image."""
    if all("image" in one for one in services.values()):
        return
    for one in services.values():
        if "command" not in one:
            what = "the command that starts it: others here have no image, and a stack starts all as one or the other"
            one["command"] = todo(what, "python -m app --port {port}")


def _dependencies(
    compose: Compose, stores: Sequence[Container], called: Mapping[str, str], broker: str
) -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}
    found = _topics(compose)
    counts = {name: found[topic] for topic, name in topics.named(found)}
    brokers = [one for one in stores if kind(one.image) == "kafka"]
    named = dependencies.partitions(counts, brokers) or todo(
        "each topic, with its number of partitions", "{orders: 4}"
    )
    for one in stores:
        name = called[one.name]
        if kind(one.image) != "kafka":
            made[name] = dependencies.described(name, one)
        elif name not in made:
            made[name] = {**({"kind": "kafka"} if name != "kafka" else {}), "topics": named}
    if not broker:
        name = "kafka" if "kafka" not in called.values() else "broker"
        made[name] = {
            **({"kind": "kafka"} if name != "kafka" else {}),
            "topics": todo(
                f"no image here is a Kafka that oneffect knows; write the topics, and {{{name}}} where services name it",
                "{orders: 4}",
            ),
        }
    return made


def _asked(
    services: Mapping[str, dict[str, Any]],
    broker: str,
    found: Mapping[str, object],
    called: Mapping[str, str],
    stores: Sequence[Container],
) -> dict[str, Any]:
    """Return the fields that no compose file has, each as a TODO."""
    known = [name for _, name in topics.named(found)]
    topic = known[0] if known else "orders"
    linked = [name for name, one in services.items() if any(f"{{{broker}}}" in text for text in one["env"].values())]
    grouped = [name for name in linked if "{group}" in services[name]["env"].values()]
    consumer = next(iter([*grouped, *linked[::-1], *services]))
    others = [name for name in [*linked, *services] if name not in grouped and name != consumer]
    front = next(iter(others), consumer)
    events = [name for name in known if not re.search("dead|dlq|letter", name)] or [topic]
    server = next((called[one.name] for one in stores if kind(one.image) == "postgres"), "")
    files = re.findall(r"\{data\}/[\w./-]+\.(?:db|sqlite3?)", " ".join(services[consumer]["env"].values()))
    url = f"sqlite:///{files[0] if files else '{data}/db'}"
    if server and not files:
        url = f"postgresql://oneffect@{{{server}}}/{{database}}"
    upload = f"{{upload: {{to: {front}, post: /orders, id_header: Idempotency-Key, ok: 202}}}}"
    publish = f'{{publish: {{topic: {topic}, value: {{id: "{{uuid}}", type: order.placed, data: {{n: "{{n}}"}}}}}}}}'
    row = f'{{url: "{url}", query: "SELECT event_id AS id, number AS effect FROM bills"}}'  # noqa: S608 - an example, to be read
    return {
        "load": todo("how work enters: by HTTP at a front door, or as events on a topic", f"{upload}, or {publish}"),
        "events": todo(
            "where a record says which event it is, and which topics hold events",
            f"{{id: /id, type: /type, data: /data, topics: [{', '.join(events)}]}}",
        ),
        "effects": todo(
            "what the work of each consumer leaves for good, one row for each effect; {} if that cannot be read",
            f"{{{consumer}: {{applies: [order.placed], sql: {row}}}}}",
        ),
        "settle": todo("the longest of lease, retry, session time-out and any other silent wait", "5s"),
    }


def _notes(
    stores: Sequence[Container], tested: Sequence[Container], called: Mapping[str, str], own: Mapping[str, str]
) -> dict[str, list[str]]:
    made: dict[str, list[str]] = {}
    for one in stores:
        made.setdefault(f"dependencies.{called[one.name]}", []).extend(dependencies.notes(one))
    for one in tested:
        if one.built not in {None, ".", "./"} and one.command:
            made[f"services.{own[one.name]}"] = [
                f"it is built from {said(one.built or '')}; here its command starts in the folder of this file"
            ]
    return made
