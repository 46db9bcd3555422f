"""Secrets: kept out of whatever the harness writes or says. What it starts still gets them.

A secret is the value of a variable or form field whose name says so (``API_TOKEN``, ``requirepass``), and whom a URL
logs in as (``postgresql://user:password@host``). The names hide it in the plan; its value is looked for in every text
that comes from elsewhere: an error, a log, the answer of a service. Identities, such as topics and services, are never
searched: a password that is also a topic's name must not change what a run is found to be.
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

from harness.system import PLACEHOLDER

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
# A word is looked at once, from its beginning: tried at each of its characters, a long one would take minutes.
_ASSIGNED = re.compile(
    rf"(?<![\w.-])((?={_STRONG})[\w.-]++=|(?=(?>[\w.-]*?--){_STRONG})[\w.-]++\s++)"
    r"(\"[^\"]*\"|'[^']*'|[^\s&;,\"']+)",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"(?<=://)[^\s/'\"<>]+(?=@)")
_WHOLE_LOGIN = re.compile(r"(?<=://)\S+(?=@)")
"""In a value of the system file: a password may hold what a URL should have had escaped."""

_OF_A_USER = re.compile(r"(?<!\S)>(\S+)")
"""The password in a Redis user's rules: ``user: app on >password ~* +@all``."""

_PLACEHOLDERS = re.compile(f"(?:{PLACEHOLDER.pattern})+")
_LONGEST_FILLED = 256
"""Characters that a placeholder is filled in with at most: without a bound one look could take the whole text."""
_FILLED = re.compile(rf"[^\s\"']{{0,{_LONGEST_FILLED}}}")
_NO_SECRETS = frozenset({"true", "false", "none", "null"})
_SHORTEST = 4
"""Characters of a value that is looked for in texts: a shorter one would be found everywhere."""

_TEXTS = frozenset({".csv", ".html", ".json", ".log"})
"""Files that are searched as they are; of ``.jsonl``, which are parts of a history, only what was said is."""

_TOKEN = 20
"""Characters from which on a URL's user is taken for a token."""


def is_secret(name: str) -> bool:
    """Whether a variable's name says that its value is secret."""
    return bool(_SAYS_SO.search(name)) and not _BUT_IS_NONE.search(name)


class Redaction:
    """The secrets of a system file, of an environment and of ``more`` texts, and how they are hidden.

    ``system`` None: its file is not here.
    """

    def __init__(
        self, system: System | None, environment: Mapping[str, str] | None = None, more: Iterable[str] = ()
    ) -> None:
        variables, texts = [environment or {}], [*more]
        if system is not None:
            variables += [service.env for service in system.services.values()]
            variables += [dependency.config for dependency in system.dependencies.values()]
            variables.append(system.load.upload.fields)
            texts += [service.command or "" for service in system.services.values()]
            texts += [effects.sql.url for effects in system.effects.values()]
            texts += [asked.post or asked.command or "" for asked in (system.reprocess, system.replay) if asked]
        found = {one for some in variables for one in _of_variables(some)}
        found |= {one for text in texts for one in _of_text(text)}
        rules = [one.config.get("user", "") for one in system.dependencies.values()] if system is not None else []
        found |= {one for rule in rules for one in _OF_A_USER.findall(rule)}
        wanted = {line for one in found for line in one.splitlines() if _searchable(line)}
        # As JSON writes them: many a log is made of it.
        wanted |= {json.dumps(one, ensure_ascii=ascii_)[1:-1] for one in wanted for ascii_ in (True, False)}
        forms = {(one,) for one in wanted} | {_pieces(one) for one in wanted if any(map(_searchable, _pieces(one)))}
        # The longest first: a secret may begin with another one.
        ordered = sorted(forms, key=lambda form: sum(map(len, form)), reverse=True)
        self._values = re.compile("|".join(map(_pattern, ordered))) if ordered else None
        self._pieces = {
            (piece, place < len(form)) for form in forms for place, piece in enumerate(form, 1) if _searchable(piece)
        }
        """What stands in one piece in a text, and whether the same secret goes on after it."""

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        if self._values is not None:
            text = self._values.sub(HIDDEN, text)
        return anonymous(text)

    def value(self, value: object) -> Any:  # noqa: ANN401 - what came in
        """A JSON value whose texts hold no secrets; for what nobody joins by."""
        return _each(value, lambda text: self._cut(self.text(text)))

    def _cut(self, text: str) -> str:
        """``text`` without a secret's beginning at its end: what others said is kept up to a length."""
        said = text.rstrip("'\"")
        begun = min((_begun(said, piece, more=more) for piece, more in self._pieces), default=len(said))
        return said[:begun] + HIDDEN + text[len(said) :] if begun < len(said) else text

    def plan(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """A plan's document without the secrets of its ``system``."""
        made: dict[str, Any] = _each(document, anonymous)
        written, system = document["system"], made["system"]
        for kind, field in (("services", "env"), ("dependencies", "config")):
            for name, part in written[kind].items():
                system[kind][name][field] = self._variables(part[field])
        system["load"]["upload"]["fields"] = self._variables(written["load"]["upload"]["fields"])
        for name, service in written["services"].items():
            system["services"][name]["command"] = self._written(service["command"] or "") or None
        for name, effects in written["effects"].items():
            system["effects"][name]["sql"]["url"] = self._written(effects["sql"]["url"])
        for name in ("reprocess", "replay"):
            for field, text in (written.get(name) or {}).items():
                if field in {"post", "command"} and text is not None:
                    system[name][field] = self._written(text)
        return made

    def _variables(self, variables: Mapping[str, str]) -> dict[str, str]:
        return {name: HIDDEN if _hides(name, value) else self._written(value) for name, value in variables.items()}

    def _written(self, text: str) -> str:
        return self.text(_WHOLE_LOGIN.sub(HIDDEN, text))

    def folder(self, folder: Path) -> None:
        """Take the secrets out of what processes wrote into a folder and below it, once nobody does any more."""
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
            partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as made,
        ):
            for line in log:
                hidden = change(line)
                changed |= hidden != line
                made.write(hidden)
        if changed:
            partial.replace(path)
        else:
            partial.unlink()

    def _said(self, line: str) -> str:
        """A record of a part: by its other fields it is found again."""
        try:
            record = orjson.loads(line)
        except ValueError:
            return self.text(line)  # torn: its worker was killed
        if not isinstance(record, dict) or "error" not in record:
            return line
        return orjson.dumps({**record, "error": self.value(record["error"])}).decode() + "\n"

    @contextmanager
    def messages(self) -> Iterator[None]:
        """Takes secrets out of the message of whatever is raised within, and of what caused it."""
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
    """``text`` without whom its URLs log in as, and without what it assigns to a secret's name."""
    text = _LOGIN.sub(HIDDEN, text)
    return _ASSIGNED.sub(lambda found: found[1] + HIDDEN, text)


def _of_variables(variables: Mapping[str, str]) -> Iterator[str]:
    for name, value in variables.items():
        if _hides(name, value):
            yield value
        yield from _of_text(value)


def _of_text(text: str) -> Iterator[str]:
    """Passwords in a URL, as they are written and as they are meant, and what is assigned to a secret's name."""
    for login in _WHOLE_LOGIN.findall(text):
        user, _, password = login.partition(":")
        # Who logs in without a password may do so with a token, which is longer than a name.
        if secret := password or (user if len(user) >= _TOKEN else ""):
            yield from {secret, unquote(secret)}
    for _, value in _ASSIGNED.findall(text):
        yield value.strip("'\"")


def _hides(name: str, value: str) -> bool:
    return is_secret(name) and not _PLACEHOLDERS.fullmatch(value)


def _searchable(value: str) -> bool:
    return len(value.strip()) >= _SHORTEST and value.lower() not in _NO_SECRETS and not _PLACEHOLDERS.fullmatch(value)


def _pieces(secret: str) -> tuple[str, ...]:
    """What of a secret stays as it is written; what is filled in between its pieces, or around them, is none."""
    return tuple(piece for piece in PLACEHOLDER.split(secret)[::2] if piece)


def _pattern(form: tuple[str, ...]) -> str:
    """Finds a secret's pieces with what was filled in between them."""
    first, *others = map(re.escape, form)
    # Atomic: the first place at which a piece stands is as good as any, and no other one is tried.
    return first + "".join(f"(?>{_FILLED.pattern}?{piece})" for piece in others)


def _begun(said: str, piece: str, *, more: bool) -> int:
    """Where the beginning of a secret's piece stands that ``said`` ends with, else the length of ``said``.

    ``more``: the secret goes on, so that what it is filled in with may follow the whole piece.
    """
    head = piece[:_SHORTEST]
    at = said.find(head, max(0, len(said) - len(piece) - (_LONGEST_FILLED if more else 0)))
    while at >= 0:
        tail = said[at:]
        if piece.startswith(tail) or (more and tail.startswith(piece) and _FILLED.fullmatch(tail, len(piece))):
            return at
        at = said.find(head, at + 1)
    return len(said)


def _each(value: object, change: Any) -> Any:  # noqa: ANN401 - any JSON value
    match value:
        case str():
            return change(value)
        case Mapping():
            return {name: _each(one, change) for name, one in value.items()}
        case Iterable():
            return [_each(one, change) for one in value]
    return value
