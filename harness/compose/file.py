"""A compose file, read: each service as one container, with what it extends, its variables and its environment."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from harness.compose.variables import Variables, file_of_variables, holds_a_secret, unknown
from harness.errors import FileError, nearest
from harness.files.document import Document, Field, parse

ENDINGS: Final = (".yml", ".yaml")
_LONGEST_CHAIN: Final = 10
_VARIABLE: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Container:
    """One service of a compose file."""

    name: str
    line: int
    image: str
    """Empty if it is built."""
    built: str | None
    """The folder that it is built from."""
    command: str
    """Its entry point and command in one line; empty if they are the image's own."""
    env: Mapping[str, str]
    ports: tuple[int, ...]
    """Ports that it listens on, those for its users first."""
    published: Mapping[int, str]
    """``host:port`` by port that it listens on."""
    hosts: frozenset[str]
    """Names at which others reach it."""
    replicas: int
    health: str
    """The words of its health check."""
    mounts: tuple[str, ...]
    """``SOURCE:TARGET`` of what it mounts."""
    configs: tuple[str, ...]
    """Names of the file's configs that it is given."""
    workdir: str
    profiles: tuple[str, ...]
    once: bool
    """Whether others wait until it has ended."""


@dataclass
class Compose:
    """A whole compose file, at ``path``."""

    path: Path
    document: Document
    variables: Variables
    _others: dict[Path, Document] = field(default_factory=dict)

    @cached_property
    def name(self) -> str:
        """The project's name, by default its folder's."""
        given = self.document.value.get("name")
        return given if isinstance(given, str) and "$" not in given else self.path.resolve().parent.name

    @cached_property
    def containers(self) -> list[Container]:
        """Every service, in the file's order; FileError for the first that is not as compose files write it."""
        services = self._services(self.document, self.path)
        whole = {name: self._extended(self.document, self.path, name, ()) for name in services}
        awaited = {name for service in whole.values() for name in _awaited(service.get("depends_on"))}
        called = {name: set(_aliases(name, service)) for name, service in whole.items()}
        for service in whole.values():
            for link in _texts(service.get("links")):
                other, _, alias = link.partition(":")
                called.get(other, set()).add(alias or other)
        return [
            self._container(name, service, frozenset(called[name] - {""}), once=name in awaited)
            for name, service in whole.items()
        ]

    def config(self, name: str) -> str:
        """Return the content of one of the file's configs; empty if it is not available."""
        configs = self.document.value.get("configs")
        given = configs.get(name) if isinstance(configs, Mapping) else None
        if not isinstance(given, Mapping):
            return ""
        return str(given.get("content") or "") or self.beside(str(given.get("file") or ""))

    def beside(self, name: str) -> str:
        """Return the text of a file that is named relative to the compose file; empty if it is not available."""
        try:
            return (self.path.parent / name).read_text(encoding="utf-8")[:1_000_000] if name else ""
        except (OSError, ValueError):
            return ""

    def _services(self, document: Document, path: Path) -> Mapping[str, object]:
        services = document.value.get("services")
        if "include" in document.value:
            raise self._error(
                document, ("include",), "is not followed; give what `docker compose config` prints, as a file"
            )
        if services is None:
            old = any(isinstance(one, Mapping) and one.keys() & {"image", "build"} for one in document.value.values())
            raise FileError(
                "is a compose file of version 1; put its services below `services:`"
                if old
                else "has no `services:`, so it is no compose file",
                path=str(path),
            )
        if not isinstance(services, Mapping) or not services:
            raise self._error(document, ("services",), "must be a mapping of services, `shop: {image: …}`")
        for name, service in services.items():
            if not isinstance(service, Mapping):
                raise self._error(document, ("services", name), "must be a mapping, `image: …`")
        return services

    def _extended(
        self, document: Document, path: Path, name: str, under: tuple[tuple[Path, str], ...]
    ) -> dict[str, Any]:
        """Return a service merged over the one that it extends, with its environment as a mapping."""
        here = ("services", name)
        service: Mapping[str, Any] = self._services(document, path)[name]  # type: ignore[assignment]
        own = dict(self._filled(document, here, service))
        own["environment"] = self._environment(document, path, here, own)
        above = own.pop("extends", None)
        if above is None:
            return own
        base, other = (
            (above, None)
            if isinstance(above, str)
            else (above.get("service"), above.get("file"))
            if isinstance(above, Mapping)
            else (None, None)
        )
        at = (*here, "extends")
        if not isinstance(base, str) or not isinstance(other, str | None):
            raise self._error(document, at, "name a service, `{service: base}`, and its file if it is in another")
        if other is not None:
            path = path.parent / other
            if path not in self._others:
                self._others[path] = parse(path, ENDINGS)
            document = self._others[path]
        if (path, base) in under or len(under) == _LONGEST_CHAIN:
            raise self._error(document, ("services", base), "extends itself in the end; break the loop")
        if base not in (known := self._services(document, path)):
            raise self._error(self.document, at, f"there is no service {base[:60]}{nearest(base, known)}")
        below = self._extended(document, path, base, (*under, (path, base)))
        return {**below, **own, "environment": {**below["environment"], **own["environment"]}}

    def _filled(self, document: Document, field: Field, value: Any) -> Any:  # noqa: ANN401 - any YAML value
        """Fill in the variables in every text."""
        if isinstance(value, str):
            try:
                return self.variables.filled(value)
            except ValueError as error:
                raise self._error(document, field, str(error)) from None
        if isinstance(value, Mapping):
            return {key: self._filled(document, (*field, key), inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._filled(document, (*field, at), inner) for at, inner in enumerate(value)]
        return value

    def _environment(self, document: Document, path: Path, here: Field, service: Mapping[str, Any]) -> dict[str, str]:
        env: dict[str, str] = {}
        for given in _listed(service.get("env_file")):
            name, needed = (given.get("path"), given.get("required")) if isinstance(given, Mapping) else (given, True)
            if not isinstance(name, str) or not name:
                raise self._error(document, (*here, "env_file"), "name a file, or several in a list")
            if not _is_file(path.parent / name):
                if needed is False:
                    continue
                message = f"there is no file {name[:100]}; write it, or take it out"
                raise self._error(document, (*here, "env_file"), message)
            read = file_of_variables(path.parent / name)
            env |= {key: unknown(key) if holds_a_secret(key, value) else value for key, value in read.items()}
        given = service.get("environment")
        if isinstance(given, Mapping):
            pairs: list[tuple[str, Any]] = list(given.items())
        elif isinstance(given, list) or given is None:
            pairs = [
                (text.partition("=")[0], text.partition("=")[2] if "=" in text else None) for text in _texts(given)
            ]
        else:
            raise self._error(
                document, (*here, "environment"), "must be a mapping `NAME: value`, or a list of `NAME=value`"
            )
        for key, value in pairs:
            if not re.fullmatch(r"[^\s=]{1,200}", key) or isinstance(value, Mapping | list):
                raise self._error(
                    document, (*here, "environment", key), "must be NAME: value, of one line and one value"
                )
            env[key] = (
                self.variables.filled(f"${{{key}}}") if value is None and _VARIABLE.fullmatch(key) else _text(value)
            )
        return env

    def _container(self, name: str, service: Mapping[str, Any], hosts: frozenset[str], *, once: bool) -> Container:
        build = service.get("build")
        context = build.get("context", ".") if isinstance(build, Mapping) else build
        ports, published = _ports(service)
        deploy, health = service.get("deploy"), service.get("healthcheck")
        replicas = deploy.get("replicas") if isinstance(deploy, Mapping) else None
        count = _text(service.get("scale", 1) if replicas is None else replicas)
        if not re.fullmatch(r"\d{1,4}", count):
            message = f"has {count[:100]!r} replicas, which is no number known here; set the variable in .env"
            raise self._error(self.document, ("services", name), message)
        test = health.get("test") if isinstance(health, Mapping) else None
        return Container(
            name=name,
            line=self.document.place(("services", name)).line,
            image=service["image"] if isinstance(service.get("image"), str) else "",
            built=str(context) if context is not None else None,
            command=" ".join(filter(None, (_command(service.get(key)) for key in ("entrypoint", "command")))),
            env=service["environment"],
            ports=ports,
            published=published,
            hosts=hosts,
            replicas=int(count),
            health=" ".join(_texts(test)) if isinstance(test, list) else _text(test),
            mounts=tuple(_mounts(service.get("volumes"))),
            configs=tuple(
                one if isinstance(one, str) else str(one.get("source"))
                for one in _listed(service.get("configs"))
                if isinstance(one, str | Mapping)
            ),
            workdir=_text(service.get("working_dir")),
            profiles=tuple(_texts(service.get("profiles"))),
            once=once,
        )

    def _error(self, document: Document, field: Field, message: str) -> FileError:
        place = document.place(field)
        # Names may hold the end of a line; a message has one line.
        return FileError(
            " ".join(message.split()),
            path=place.path,
            line=place.line,
            field=" ".join(".".join(map(str, field)).split()),
        )


def read(path: Path) -> Compose:
    """Read a compose file, with the ``.env`` beside it; FileError if it is none."""
    document = parse(path, ENDINGS)
    beside = path.parent / ".env"
    return Compose(path, document, Variables(file_of_variables(beside) if _is_file(beside) else {}))


def _is_file(path: Path) -> bool:
    """Whether a file exists; False for an impossible path."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _texts(value: object) -> list[str]:
    return [_text(one) for one in _listed(value) if not isinstance(one, Mapping | list)]


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _command(value: object) -> str:
    return shlex.join(_texts(value)) if isinstance(value, list) else _text(value)


def _aliases(name: str, service: Mapping[str, Any]) -> Iterator[str]:
    yield name
    yield from (_text(service.get(key)) for key in ("container_name", "hostname"))
    networks = service.get("networks")
    for network in networks.values() if isinstance(networks, Mapping) else ():
        yield from _texts(network.get("aliases")) if isinstance(network, Mapping) else ()


def _awaited(given: object) -> Iterator[str]:
    """Yield the services that a service waits for until they have ended."""
    for name, how in given.items() if isinstance(given, Mapping) else ():
        if isinstance(how, Mapping) and how.get("condition") == "service_completed_successfully":
            yield name


def _mounts(given: object) -> Iterator[str]:
    for one in _listed(given):
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            yield f"{_text(one.get('source'))}:{_text(one.get('target'))}"


_PORT: Final = re.compile(r"(?:(?:(\[[^]]*\]|[\w.-]*):)?(\d*):)?(\d+)(?:/\w+)?")


def _ports(service: Mapping[str, Any]) -> tuple[tuple[int, ...], dict[int, str]]:
    """Return the ports that a container listens on, and where each is published."""
    ports: list[int] = []
    published: dict[int, str] = {}
    for one in _listed(service.get("ports")):
        if isinstance(one, Mapping):
            host, outside, inside = _text(one.get("host_ip")), _text(one.get("published")), _text(one.get("target"))
        elif match := _PORT.fullmatch(_text(one)):
            host, outside, inside = match[1] or "", match[2] or "", match[3]
        else:
            continue
        if not re.fullmatch(r"\d{1,5}", inside):
            continue
        ports.append(int(inside))
        if re.fullmatch(r"\d{1,5}", outside):
            published[int(inside)] = f"{host if host not in {'', '0.0.0.0'} else '127.0.0.1'}:{outside}"  # noqa: S104 - read, not bound
    ports += [int(one) for one in _texts(service.get("expose")) if re.fullmatch(r"\d{1,5}", one)]
    return tuple(dict.fromkeys(ports)), published
