"""Text from the system under test, made fit for a terminal: no control character of it gets there."""

from __future__ import annotations

import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that a terminal acts on, or shows as nothing: escapes, bidirectional marks, half characters."""


def shown(text: object, *, lines: bool = False) -> str:
    """``text`` with whatever cannot be seen written out as its code; ``lines`` keeps its line breaks and tabs."""
    said = str(text)
    if said.isprintable():  # Nothing of those categories is.
        return said
    kept = "\n\t" if lines else ""
    return "".join(c if c in kept or unicodedata.category(c) not in _UNSEEN else _written(c) for c in said)


def _written(character: str) -> str:
    code = ord(character)
    if code < 0x100:  # noqa: PLR2004 - what two hex digits hold
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 - what four hold
