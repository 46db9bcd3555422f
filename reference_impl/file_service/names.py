"""What a file may be called."""

import re
import unicodedata
from pathlib import PurePosixPath
from urllib.parse import unquote

from reference_impl.file_service.extractor import EXTENSIONS, extension
from reference_impl.service_libs.http_errors import Refused

_LONGEST_NAME = 255

_SHAPING = (
    "\u200c\u200d"  # joiners: Persian, the scripts of India, emoji
    "\u034f\u180e\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"  # Mongolian, emoji, Han: which form is meant
    "\u115f\u1160\u3164\uffa0\u17b4\u17b5"  # stand for an absent part of a syllable of Hangul or Khmer
)
"""What cannot be seen, and is in ordinary names all the same: it changes how its neighbours look, never their order."""

_SIGNS = "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
"""Format characters that can be seen: signs round the numbers of Arabic, Syriac and Kaithi."""

_UNASSIGNED_INVISIBLE = "\u2065\ufff0-\ufff8\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
"""Unicode promises that these will never be seen."""

_ORDINARY = re.compile(f"[{_SHAPING}{_SIGNS}]")
# Three in a row spell nothing, but can carry bytes.
_HIDDEN = re.compile(f"[{_UNASSIGNED_INVISIBLE}]|[{_SHAPING}]{{3}}")
_BLANK = re.compile(f"[\\s\u2800{_SHAPING}]*")


def check_name(file_name: str) -> None:
    """Raise ``Refused`` for a name that is none, or that is a path, or that hides something.

    Unassigned and private characters are taken: the letters of a newer Unicode are unassigned to this Python, and a
    private character shows, if only as a box.
    """
    if len(file_name) > _LONGEST_NAME:
        raise _bad(f"a file name has at most {_LONGEST_NAME} characters, not {len(file_name)}")
    for seen in (file_name, unquote(file_name)):  # clients write what multipart cannot carry as %00, %0A, %22
        if "/" in seen or "\\" in seen or seen in {".", ".."}:
            raise _bad("a file name is no path")
        if any(_hides(character) for character in seen) or _HIDDEN.search(seen):
            raise _bad("a file name has no control characters, and none that are invisible or turn its direction")
        if _BLANK.fullmatch(PurePosixPath(seen).stem):
            raise _bad("the file has no name that can be seen")
    if extension(file_name) not in EXTENSIONS:
        raise Refused(415, "unsupported_type", f"files of type {', '.join(sorted(EXTENSIONS))} are taken")


def _hides(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind in {"Cc", "Cf", "Cs", "Zl", "Zp"} and not _ORDINARY.match(character)


def _bad(detail: str) -> Refused:
    return Refused(400, "bad_name", detail)
