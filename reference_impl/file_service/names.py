"""Checks the names of files."""

import re
import unicodedata
from pathlib import PurePosixPath
from urllib.parse import unquote

from reference_impl.file_service.document import EXTENSIONS, extension
from reference_impl.service_libs.http_errors import Refused

_LONGEST_NAME = 255

_SHAPING = (
    "\u200c\u200d"  # joiners: Persian, Indic scripts, emoji
    "\u034f\u180e\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"  # variants: Mongolian, emoji, Han
    "\u115f\u1160\u3164\uffa0\u17b4\u17b5"  # fillers: the absent part of a Hangul or Khmer syllable
)
"""Invisible characters of ordinary names: they change how their neighbours look, never their order."""

_SIGNS = "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
"""Visible format characters: signs around Arabic, Syriac and Kaithi numbers."""

_UNASSIGNED_INVISIBLE = "\u2065\ufff0-\ufff8\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
"""Code points that Unicode guarantees never to be visible."""

_ORDINARY = re.compile(f"[{_SHAPING}{_SIGNS}]")
# Three in a row spell nothing, but can carry bytes.
_HIDDEN = re.compile(f"[{_UNASSIGNED_INVISIBLE}]|[{_SHAPING}]{{3}}")
_BLANK = re.compile(f"[\\s\u2800{_SHAPING}]*")


def check_name(file_name: str) -> None:
    """Raise ``Refused`` for a name that is empty or a path, or that hides something.

    Unassigned and private-use characters are accepted: letters of a newer Unicode are unassigned in this Python, and a
    private-use character is visible, if only as a box.
    """
    if len(file_name) > _LONGEST_NAME:
        raise _bad(f"a file name has at most {_LONGEST_NAME} characters, not {len(file_name)}")
    for name in (file_name, unquote(file_name)):  # clients write %00, %0A, %22 for what multipart cannot carry
        if "/" in name or "\\" in name or name in {".", ".."}:
            raise _bad("a file name must not be a path")
        if any(_hides(character) for character in name) or _HIDDEN.search(name):
            raise _bad("a file name must not have control, invisible or direction-changing characters")
        if _BLANK.fullmatch(PurePosixPath(name).stem):
            raise _bad("the file's name has no visible character")
    if extension(file_name) not in EXTENSIONS:
        raise Refused(415, "unsupported_type", f"accepted types: {', '.join(sorted(EXTENSIONS))}")


def _hides(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind in {"Cc", "Cf", "Cs", "Zl", "Zp"} and not _ORDINARY.match(character)


def _bad(detail: str) -> Refused:
    return Refused(400, "bad_name", detail)
