"""Makes text from the system under test safe for a terminal: no control character gets there."""

from __future__ import annotations

import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that a terminal acts on or does not show: escapes, bidirectional marks, lone surrogates."""


def shown(text: object, *, lines: bool = False) -> str:
    """Write each invisible character of ``text`` as its code; ``lines`` keeps line breaks and tabs."""
    raw = str(text)
    if raw.isprintable():  # No character of those categories is.
        return raw
    kept = "\n\t" if lines else ""
    return "".join(c if c in kept or unicodedata.category(c) not in _UNSEEN else _written(c) for c in raw)


def _written(character: str) -> str:
    code = ord(character)
    if code < 0x100:  # noqa: PLR2004 - what two hex digits hold
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 - what four hold
