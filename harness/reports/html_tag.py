"""HTML and SVG as values: whatever was not made here is text, and gets escaped."""

from __future__ import annotations

from html import escape
from typing import Final

from harness.reports.untrusted import shown

LONGEST: Final = 240
"""Characters shown of one text; names and payloads can be of any length."""

_VOID: Final = frozenset({"meta"})


class Html(str):
    """Markup made by ``tag``. Formatting or concatenation yields plain text, which gets escaped like any other."""

    __slots__ = ()


def text(value: object, most: int = LONGEST) -> Html:
    """Escape ``value``, with invisible characters as codes, and cut it after ``most`` characters."""
    visible = shown(value)
    return Html(escape(visible if len(visible) <= most else f"{visible[:most]}…"))


def join(*children: object) -> Html:
    """Concatenate markup and texts; None is left out."""
    return Html("".join(child if isinstance(child, Html) else text(child) for child in children if child is not None))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """Make an element. ``class_`` is ``class``, ``stroke_width`` is ``stroke-width``; None attributes are left out.

    Floats get at most one digit after the point: they are pixels.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    end = "" if name in _VOID else f"</{name}>"
    return Html(f"<{name}{written}>{join(*children)}{end}")


def _value(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else text(value, 2 * LONGEST)
