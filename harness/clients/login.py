"""How the harness logs in at a Redis, as the system file's ``config`` has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Login:
    """A password, and whose; ``user`` None: that of the user whom every connection begins as."""

    password: str = field(repr=False)
    user: str | None = None

    def request(self) -> bytes:
        """AUTH, as Redis's protocol has it."""
        words = [word.encode() for word in ("AUTH", self.user, self.password) if word is not None]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def redis_login(config: Mapping[str, str]) -> Login | None:
    """By ``masteruser`` and ``masterauth``, as a replica of that server would log in, else by ``requirepass``.

    Without either by a password in the rules of the user ``default``. None: it asks for no password.
    """
    if "masteruser" in config and "masterauth" in config:
        return Login(config["masterauth"], config["masteruser"])
    if password := config.get("requirepass"):
        return Login(password)
    name, *rules = (config.get("user") or "default").split()
    given = [rule.removeprefix(">") for rule in rules if rule.startswith(">")]
    return Login(given[0]) if name == "default" and given else None
