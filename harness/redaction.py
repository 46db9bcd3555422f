"""Keeps secrets out of everything the harness writes or prints. The processes that it starts still receive them.

A secret is the value of a variable or form field whose name says so (``API_TOKEN``, ``requirepass``), or the login in a
URL (``postgresql://user:password@host``). In the plan, secrets are hidden by name. In text from elsewhere (an error, a
log, a service's answer) they are searched for by value. Identities, such as topics and services, are never searched: a
password that is also a topic's name must not change the verdict.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import orjson

from harness.model import PLACEHOLDER
from harness.template import texts as places

if TYPE_CHECKING:
    from harness.system import System

HIDDEN: Final = "***"

_SAYS_SO = re.compile(
    r"passw|passphrase|requirepass|masterauth|secret|token|credential|api[_.-]?key"
    r"|(?:^|[_.-])(?:pass|pwd|keys?)(?:$|[_.-])",
    re.IGNORECASE,
)
_BUT_IS_NONE = re.compile(
    r"^(?:old)?pwd$"
    r"|(?:^|[_.-])(?:idempotency|message|partition|primary|public|routing|sort)[_.-]key$"
    r"|[_.-](?:dir|file|header|length|limit|ms|name|path|prefix|seconds|ttl)$",
    re.IGNORECASE,
)
_STRONG = r"[\w.-]*?(?:passw|passphrase|secret|token|credential|api[_.-]?key)"
# Matches start at the beginning of a word only: tried at each character, a long word would take minutes.
_ASSIGNED = re.compile(
    rf"(?<![\w.-])((?={_STRONG})[\w.-]++=|(?=(?>[\w.-]*?--){_STRONG})[\w.-]++\s++)"
    r"(\"[^\"]*\"|'[^']*'|[^\s&;,\"']+)",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"(?<=://)[^\s/'\"<>]+(?=@)")
_WHOLE_LOGIN = re.compile(r"(?<=://)\S+(?=@)")
"""For values in the system file, where a password may contain characters that a URL should escape."""

_OF_A_USER = re.compile(r"(?<!\S)>(\S+)")
"""The password in a Redis user's rules: ``user: app on >password ~* +@all``."""

_PLACEHOLDERS = re.compile(f"(?:{PLACEHOLDER.pattern})+")
_LONGEST_FILLED = 256
"""Longest text that a placeholder may stand for; without a limit one match could swallow the whole text."""
_FILLED = re.compile(rf"[^\s\"']{{0,{_LONGEST_FILLED}}}")
_NO_SECRETS = frozenset({"true", "false", "none", "null"})
_SHORTEST = 4
"""Shortest value to search for; a shorter one would match everywhere."""

_TEXTS = frozenset({".csv", ".html", ".json", ".log"})
"""Files that are searched as a whole. In ``.jsonl``, the parts of a history, only errors are."""

_TOKEN = 20
"""Shortest user in a URL, without a password, that counts as a token."""


def is_secret(name: str) -> bool:
    """Whether a variable's name says that its value is secret."""
    return bool(_SAYS_SO.search(name)) and not _BUT_IS_NONE.search(name)


class Redaction:
    """Hides the secrets of a system file, of an environment and of ``more`` texts.

    ``system`` is None if the system file is not available.
    """

    def __init__(
        self, system: System | None, environment: Mapping[str, str] | None = None, more: Iterable[str] = ()
    ) -> None:
        variables, texts = [environment or {}], [*more]
        if system is not None:
            variables += [service.env for service in system.services.values()]
            variables += [each for dep in system.dependencies.values() for each in (dep.config, dep.env)]
            if (door := system.load.upload) is not None:
                variables += [door.fields, dict(places(door.template))]
            if (client := system.load.command) is not None:
                variables.append(dict(places(client.template)))
                texts.append(client.run)
            if (publish := system.load.publish) is not None:
                variables += [publish.headers, dict(places(publish.value))]
            texts += [service.command or "" for service in system.services.values()]
            texts += [dependency.command or "" for dependency in system.dependencies.values()]
            texts += [text for effects in system.effects.values() for _, text in effects.texts()]
            texts += [asked.post or asked.command or "" for asked in (system.reprocess, system.replay) if asked]
        secrets = {secret for mapping in variables for secret in _of_variables(mapping)}
        secrets |= {secret for text in texts for secret in _of_text(text)}
        users = [part.config.get("user", "") for part in system.dependencies.values()] if system is not None else []
        secrets |= {secret for rules in users for secret in _OF_A_USER.findall(rules)}
        lines = {line for secret in secrets for line in secret.splitlines() if _searchable(line)}
        # Also as JSON escapes them, because many logs are JSON.
        lines |= {json.dumps(line, ensure_ascii=ascii_)[1:-1] for line in lines for ascii_ in (True, False)}
        forms = {(line,) for line in lines} | {
            _pieces(line) for line in lines if any(map(_searchable, _pieces(line)))
        }
        # Longest first, because a secret may begin with another one.
        ordered = sorted(forms, key=lambda form: sum(map(len, form)), reverse=True)
        self._values = re.compile("|".join(map(_pattern, ordered))) if ordered else None
        self._pieces = {
            (piece, place < len(form)) for form in forms for place, piece in enumerate(form, 1) if _searchable(piece)
        }
        """(piece, whether the same secret continues after it)."""

    def text(self, text: str) -> str:
        """Return ``text`` without secrets."""
        if self._values is not None:
            text = self._values.sub(HIDDEN, text)
        return anonymous(text)

    def value(self, value: object) -> Any:  # noqa: ANN401 - what came in
        """Return a JSON value without secrets in its strings; not for fields that records are joined by."""
        return _each(value, lambda text: self._cut(self.text(text)))

    def _cut(self, text: str) -> str:
        """Hide the beginning of a secret at the end of ``text``, where truncation may have cut the secret."""
        body = text.rstrip("'\"")
        begin = min((_begin(body, piece, more=more) for piece, more in self._pieces), default=len(body))
        return body[:begin] + HIDDEN + text[len(body) :] if begin < len(body) else text

    def plan(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return a plan's document without the secrets of its ``system``."""
        redacted: dict[str, Any] = _each(document, anonymous)
        written, system = document["system"], redacted["system"]
        for kind, field in (("services", "env"), ("dependencies", "config"), ("dependencies", "env")):
            for name, part in written[kind].items():
                system[kind][name][field] = self._variables(part[field])
        self._load(written["load"], system["load"])
        for kind in ("services", "dependencies"):
            for name, part in written[kind].items():
                system[kind][name]["command"] = self._written(part["command"] or "") or None
        for name, effects in written["effects"].items():
            for read, cleaned in (
                (effects, system["effects"][name]),
                (effects["total"], system["effects"][name]["total"]),
            ):
                if read is not None:
                    self._read(read, cleaned)
        self._requests(written, system)
        return redacted

    def _load(self, written: Mapping[str, Any], load: dict[str, Any]) -> None:
        templates = {"upload": ("fields", "template"), "command": ("template",), "publish": ("headers", "value")}
        for kind, fields in templates.items():
            for field in fields if written.get(kind) is not None else ():
                load[kind][field] = self._template("", written[kind][field])
        if written.get("command") is not None:
            load["command"]["run"] = self._written(written["command"]["run"])

    def _read(self, written: Mapping[str, Any], system: dict[str, Any]) -> None:
        for form in ("sql", "http"):
            if written[form] is not None:
                system[form]["url"] = self._written(written[form]["url"])
        if written["command"] is not None:
            system["command"] = self._written(written["command"])

    def _requests(self, written: Mapping[str, Any], system: dict[str, Any]) -> None:
        for name in ("reprocess", "replay"):
            for field, text in (written.get(name) or {}).items():
                if field in {"post", "command"} and text is not None:
                    system[name][field] = self._written(text)

    def _variables(self, variables: Mapping[str, str]) -> dict[str, str]:
        return {name: HIDDEN if _hides(name, value) else self._written(value) for name, value in variables.items()}

    def _template(self, name: str, value: object) -> object:
        """Redact the texts of a template, each by the name that leads to it."""
        if isinstance(value, str):
            return HIDDEN if _hides(name, value) else self._written(value)
        if isinstance(value, Mapping):
            return {inner: self._template(inner, item) for inner, item in value.items()}
        return [self._template(name, item) for item in value] if isinstance(value, list) else value

    def _written(self, text: str) -> str:
        return self.text(_WHOLE_LOGIN.sub(HIDDEN, text))

    def folder(self, folder: Path) -> None:
        """Remove the secrets from the files below ``folder``; call it once no process writes there any more."""
        for path in folder.rglob("*"):
            if path.suffix in _TEXTS:
                self._file(path, self.text)
            elif path.suffix == ".jsonl":
                self._file(path, self._said)

    def _file(self, path: Path, change: Callable[[str], str]) -> None:
        partial = path.with_name(f".{path.name}")
        changed = False
        with (
            path.open(encoding="utf-8", errors="surrogateescape", newline="") as log,
            partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as redacted,
        ):
            for line in log:
                hidden = change(line)
                changed |= hidden != line
                redacted.write(hidden)
        if changed:
            partial.replace(path)
        else:
            partial.unlink()

    def _said(self, line: str) -> str:
        """Redact the ``error`` of one record of a history's part; the other fields identify it, so they stay."""
        try:
            record = orjson.loads(line)
        except ValueError:
            return self.text(line)  # half a line: its worker was killed
        if not isinstance(record, dict) or "error" not in record:
            return line
        return orjson.dumps({**record, "error": self.value(record["error"])}).decode() + "\n"

    @contextmanager
    def messages(self) -> Iterator[None]:
        """Remove secrets from the message of any exception raised within, and from those of its causes."""
        try:
            yield
        except BaseException as error:
            self._message(error, set())
            raise

    def _message(self, error: BaseException | None, done: set[int]) -> None:
        if error is None or id(error) in done:
            return
        done.add(id(error))
        error.args = tuple(self.text(part) if isinstance(part, str) else part for part in error.args)
        for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
            self._message(other, done)


def anonymous(text: str) -> str:
    """Return ``text`` without the logins in its URLs and the values that it assigns to secret names."""
    text = _LOGIN.sub(HIDDEN, text)
    return _ASSIGNED.sub(lambda match: match[1] + HIDDEN, text)


def _of_variables(variables: Mapping[str, str]) -> Iterator[str]:
    for name, value in variables.items():
        if _hides(name, value):
            yield value
        yield from _of_text(value)


def _of_text(text: str) -> Iterator[str]:
    """Yield the passwords in URLs, as written and percent-decoded, and the values assigned to secret names."""
    for login in _WHOLE_LOGIN.findall(text):
        user, _, password = login.partition(":")
        # A login without a password may be a token, which is longer than a user name.
        if secret := password or (user if len(user) >= _TOKEN else ""):
            yield from {secret, unquote(secret)}
    for _, value in _ASSIGNED.findall(text):
        yield value.strip("'\"")


def _hides(name: str, value: str) -> bool:
    return is_secret(name) and not _PLACEHOLDERS.fullmatch(value)


def _searchable(value: str) -> bool:
    return len(value.strip()) >= _SHORTEST and value.lower() not in _NO_SECRETS and not _PLACEHOLDERS.fullmatch(value)


def _pieces(secret: str) -> tuple[str, ...]:
    """Split a secret at its placeholders into the literal pieces, which stay the same when they are filled in."""
    return tuple(piece for piece in PLACEHOLDER.split(secret)[::2] if piece)


def _pattern(form: tuple[str, ...]) -> str:
    """Return a pattern that matches a secret's pieces with anything filled in between them."""
    first, *others = map(re.escape, form)
    # Atomic: the first position of a piece is as good as any, so the pattern tries no other.
    return first + "".join(f"(?>{_FILLED.pattern}?{piece})" for piece in others)


def _begin(text: str, piece: str, *, more: bool) -> int:
    """Return the position in ``text`` of a beginning of ``piece`` that reaches its end, else ``len(text)``.

    ``more`` means that the secret continues, so text filled in for a placeholder may follow the whole piece.
    """
    head = piece[:_SHORTEST]
    at = text.find(head, max(0, len(text) - len(piece) - (_LONGEST_FILLED if more else 0)))
    while at >= 0:
        tail = text[at:]
        if piece.startswith(tail) or (more and tail.startswith(piece) and _FILLED.fullmatch(tail, len(piece))):
            return at
        at = text.find(head, at + 1)
    return len(text)


def _each(value: object, change: Any) -> Any:  # noqa: ANN401 - any JSON value
    match value:
        case str():
            return change(value)
        case Mapping():
            return {name: _each(item, change) for name, item in value.items()}
        case Iterable():
            return [_each(item, change) for item in value]
    return value
