"""The harness's login at a Redis, from the ``config`` in the system file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Login:
    """A user and a password; ``user`` None means the user that every connection starts as."""

    password: str = field(repr=False)
    user: str | None = None

    def request(self) -> bytes:
        """Encode AUTH in Redis's protocol."""
        words = [word.encode() for word in ("AUTH", self.user, self.password) if word is not None]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def redis_login(config: Mapping[str, str]) -> Login | None:
    """Return the login at a server with this ``config``, or None if it asks for no password.

    In order of preference: ``masteruser`` and ``masterauth``, as a replica of the server would log in;
    ``requirepass``; a password in the rules of the user ``default``.
    """
    if "masteruser" in config and "masterauth" in config:
        return Login(config["masterauth"], config["masteruser"])
    if password := config.get("requirepass"):
        return Login(password)
    name, *rules = (config.get("user") or "default").split()
    passwords = [rule.removeprefix(">") for rule in rules if rule.startswith(">")]
    return Login(passwords[0]) if name == "default" and passwords else None
