"""HTML and SVG as values: whatever was not made here is text, and is escaped."""

from __future__ import annotations

from html import escape
from typing import Final

from harness.reports.untrusted import shown

LONGEST: Final = 240
"""Characters of one text; names and payloads can be of any length."""

_VOID: Final = frozenset({"meta"})


class Html(str):
    """Markup made by ``tag``. Formatting or adding makes it plain text again, which is escaped like any other."""

    __slots__ = ()


def text(value: object, most: int = LONGEST) -> Html:
    """``value`` as text: nothing of it is markup, nothing of it is invisible, and it ends after ``most`` characters."""
    said = shown(value)
    return Html(escape(said if len(said) <= most else f"{said[:most]}…"))


def join(*children: object) -> Html:
    """Markup and texts one after the other; None is nothing."""
    return Html("".join(one if isinstance(one, Html) else text(one) for one in children if one is not None))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element. ``class_`` is ``class``, ``stroke_width`` is ``stroke-width``; an attribute that is None is left out.

    Numbers are written with at most one digit after the point: they are pixels.
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    end = "" if name in _VOID else f"</{name}>"
    return Html(f"<{name}{told}>{join(*children)}{end}")


def _value(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else text(value, 2 * LONGEST)
