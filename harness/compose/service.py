"""What a system file says of one service of a compose file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.compose import topics
from harness.compose.addresses import Hosts
from harness.compose.file import Container
from harness.compose.variables import UNKNOWN, said
from harness.files.todo import is_todo, todo
from harness.model import PLACEHOLDER
from harness.redaction import is_secret

_HOST: Final = re.compile(r"host(?:name)?|server|addr(?:ess)?", re.IGNORECASE)
_LIST: Final = re.compile(r"broker|bootstrap|seed|nodes", re.IGNORECASE)
_PORT: Final = re.compile(r"(?:(?:APP|HTTP|LISTEN|SERVER|SERVICE|UVICORN|WEB)_)?PORT")
_LISTENS: Final = re.compile(r"(?i:(?:^|[^a-z])(?:port|addr|bind|listen))|[a-z](?:Port|Addr|Bind|Listen)")
_GROUP: Final = re.compile(r"^(?:.*(?:kafka|consumer).*)?group(?:[_.-]?(?:id|name))?$", re.IGNORECASE)
_OF_A_DATABASE: Final = r"^(?:.*[_.])?(?:pg|postgres(?:ql)?|db|database|datasource|sql)"
_USER: Final = re.compile(rf"{_OF_A_DATABASE}[_.]?user(?:[_.]?name)?$", re.IGNORECASE)
_DATABASE: Final = re.compile(
    r"^(?:.*[_.])?(?:pgdatabase|(?:postgres(?:ql)?|db|database)[_.]?(?:db|database|name))$", re.IGNORECASE
)
_URL: Final = re.compile(r"https?://([^/\s'\":]+)(?::(\d{1,5}))?(/[^\s'\"|;)\]]*)?")
MOST: Final = 16
"""Most replicas of a service."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns containers into services, given where hosts lead, the topics' names and the broker's name."""

    hosts: Hosts
    topics: Mapping[str, str]
    broker: str

    def service(self, container: Container) -> dict[str, Any]:
        """Return a service's fields, as they stand in a system file."""
        port = self._port(container)
        env = {key: self._value(key, text, container, port) for key, text in container.env.items()}
        env |= self._apart(container)
        linked = set(
            re.findall(r"\{([a-z0-9_-]+)(?::host)?\}", "\n".join(text for text in env.values() if not is_todo(text)))
        )
        env = {key: self._named(key, text, linked) for key, text in env.items()}
        command = self._command(container, port)
        if "{port}" not in "\n".join([command, *env.values()]):
            key = next((key for key in ("PORT", "HTTP_PORT") if key not in env), "ONEFFECT_PORT")
            what = "how it is told the port on which it answers when it is ready; in a variable, or in its command"
            env[key] = todo(what, f'{key}: "{{port}}", or command: python app.py --port {{port}}')
        made: dict[str, Any] = {}
        if container.image and not self._mounted(container):
            made["image"] = self._image(container)
        if command:
            made["command"] = command
        elif "image" not in made:
            made["command"] = todo(
                f"the command that starts it in the folder of this file; it is built from {said(container.built or '.')}",
                "python -m app --port {port}",
            )
        if container.replicas != 1:
            made["replicas"] = (
                container.replicas
                if 1 <= container.replicas <= MOST
                else todo(f"the compose file has {container.replicas} replicas; write 1 to {MOST}", "2")
            )
        made["env"] = env
        made["ready"] = self._ready(container)
        return made

    def _value(self, key: str, text: str, container: Container, port: str) -> str:
        if braces := PLACEHOLDER.search(text):
            return todo(
                f"the compose file has {braces[0]} in it, which oneffect would fill in; let the service take it from "
                "elsewhere, and take this line out",
                "a default of its own",
            )
        known = self.topics if self._uses_broker(container) else ()
        if self.broker and (names := topics.used(key, text, known)):
            return ",".join(f"{{topic:{self.topics[name]}}}" for name in names)
        if self.broker and _GROUP.search(key) and self._uses_broker(container):
            return "{group}"
        try:
            made = self._filled(_own(text, port), container)
        except ValueError as gone:
            return todo(f"{gone}; write what stands in its place, or take this line out", "127.0.0.1:9000")
        if port and re.search(rf"(?:^|:){port}$", made) and _LISTENS.search(key):
            made = made[: -len(port)] + "{port}"
        elif not port and _PORT.fullmatch(key.upper()) and re.fullmatch(r"\d{2,5}", made):
            made = "{port}"
        return _known(made)

    def _filled(self, text: str, container: Container) -> str:
        """Fill in addresses and folders; ValueError if an address leads to what is left out."""
        made = self.hosts.databases(self.hosts.filled(text))
        # A service that names itself has no link to itself.
        made = made.replace(f"{{{self.hosts.names[container.name]}}}", "127.0.0.1:{port}")
        # In containers too, all parts are on this machine's loopback.
        made = re.sub(r"(?<![\w.])0\.0\.0\.0(?![\w.])", "127.0.0.1", made)
        for mount in container.mounts:
            source, _, target = mount.rpartition(":") if mount.count(":") == 1 else mount.partition(":")
            target = target.partition(":")[0].rstrip("/")
            if re.fullmatch(r"[\w-]*", source) and re.fullmatch(r"/[\w./-]+", target):
                made = re.sub(rf"(?<![\w.}}-]){re.escape(target)}(?![\w.-])", "{data}", made)
        return made

    def _apart(self, container: Container) -> Iterator[tuple[str, str]]:
        """Yield the variables of addresses whose host and port the compose file gives separately."""
        for key, text in container.env.items():
            if (text not in self.hosts.names and text not in self.hosts.out) or text in container.hosts:
                continue
            if text in self.hosts.out and (_HOST.search(key) or _LIST.search(key)):
                yield (
                    key,
                    todo(f"{text} is left out ({self.hosts.out[text]}); write what stands in its place", "127.0.0.1"),
                )
            elif text in self.hosts.names and _LIST.search(key):
                yield key, f"{{{self.hosts.names[text]}}}"
            elif text in self.hosts.names and (part := _HOST.search(key)):
                name, word = self.hosts.names[text], "port" if part[0].islower() else "PORT"
                beside = key[: part.start()] + word + key[part.end() :]
                yield key, f"{{{name}:host}}"
                if beside in container.env:
                    yield beside, f"{{{name}:port}}"
                else:
                    what = f"how it is told the port of {name}, which is another one in each run"
                    yield beside, todo(what, f'{beside}: "{{{name}:port}}"')

    def _named(self, key: str, text: str, linked: set[str]) -> str:
        """Replace a Postgres login or database that stands in a variable of its own with oneffect's."""
        if not linked & self.hosts.postgres:
            return text
        if _USER.search(key):
            return "oneffect"
        return "{database}" if _DATABASE.search(key) else text

    def _uses_broker(self, container: Container) -> bool:
        return any(
            f"{{{self.broker}}}" in self._quietly(text) or self.hosts.names.get(text) == self.broker
            for text in container.env.values()
        )

    def _quietly(self, text: str) -> str:
        try:
            return self.hosts.filled(text)
        except ValueError:
            return text

    def _command(self, container: Container, port: str) -> str:
        text = " ".join(container.command.split("\n")).strip()
        if not text:
            return ""
        if braces := PLACEHOLDER.search(text):
            return todo(
                f"the compose file's command has {braces[0]} in it, which oneffect would fill in; write it otherwise",
                "python app.py",
            )
        try:
            shlex.split(text)
            text = self._filled(text, container)
        except ValueError as wrong:
            return todo(f"the compose file's command is of no use: {wrong}; write the command", "python app.py")
        return _known(re.sub(rf"(?<![\w.{{]){port}(?![\w.:}}])", "{port}", text) if port else text)

    @staticmethod
    def _port(container: Container) -> str:
        asked = [match[2] for match in _URL.finditer(container.health) if match[2]]
        known = [*map(str, container.ports), *asked]
        given = [port for port in known if port in container.env.values()]
        return next(iter([*given, *known]), "")

    @staticmethod
    def _mounted(container: Container) -> bool:
        """Whether its code is mounted over what is in its image."""
        binds = [mount.split(":") for mount in container.mounts if mount.startswith(".")]
        return bool(container.command) and any(
            container.workdir in bind[1:] or bind[0] in {".", "./"} for bind in binds
        )

    @staticmethod
    def _image(container: Container) -> str:
        if not UNKNOWN.search(container.image):
            return container.image
        return todo(f"the compose file has {said(container.image)} here, whose value is not known", "shop:1.4")

    @staticmethod
    def _ready(container: Container) -> str:
        # A URL would be cut at a variable, and that page might answer before the service is ready.
        known = "" if UNKNOWN.search(container.health) or "$" in container.health else container.health
        for host, _, path in (match.groups() for match in _URL.finditer(known)):
            if host in {"localhost", "127.0.0.1", "0.0.0.0", *container.hosts}:  # noqa: S104 - compared, not bound
                return (path or "/").partition("?")[0]
        return todo(
            "the path that answers 2xx on {port} once it is ready, or {prints: TEXT} if it has no HTTP endpoint",
            "/readyz",
        )


def _own(text: str, port: str) -> str:
    """Replace the service's own port in local addresses; another service may publish the same number."""
    return re.sub(rf"\b(?:localhost|127\.0\.0\.1):{port}(?!\d)", "127.0.0.1:{port}", text) if port else text


def _known(text: str) -> str:
    """Return the text if all its variables are known, else a TODO."""
    if not (names := UNKNOWN.findall(text)):
        return text
    secret = any(map(is_secret, names))
    why = "secrets are not copied" if secret else "it has no value beside the compose file"
    return todo(f"the compose file has {said(text)} here; {why}", "not-a-real-secret" if secret else "10")
