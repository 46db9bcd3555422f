"""Corrects English words that are one edit away from a dictionary word."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_lowercase
from typing import Self

from spellchecker import SpellChecker

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
_PLAIN = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)*")
_LONGEST = 32
"""In letters. A longer string is no word, and its neighbours would be many and long."""

_REMEMBERED = 65_536


@dataclass(frozen=True)
class Corrected:
    """A corrected text, its number of words, and how many of them were replaced."""

    text: str
    words: int
    corrections: int


class Spelling:
    """Corrects deterministically: among equally frequent candidates the alphabet decides."""

    def __init__(self, frequencies: Mapping[str, int]) -> None:
        self._frequencies = frequencies
        self._correction = lru_cache(_REMEMBERED)(self._find)

    @classmethod
    def english(cls) -> Self:
        """Use the dictionary that pyspellchecker ships; reading it takes a fraction of a second."""
        # pyspellchecker's own search tries 70 letters, not 26, and leaves ties to the order of a set.
        return cls(dict(SpellChecker(language="en").word_frequency.dictionary))

    def correct(self, text: str) -> Corrected:
        """Replace each unknown word that has a known neighbour, keeping case and everything between words.

        Words with digits or non-ASCII letters stay as they are. CPU-bound: call it in a thread.
        """
        words = corrections = 0

        def replace(match: re.Match[str]) -> str:
            nonlocal words, corrections
            words += 1
            word = match[0]
            correction = self._correction(word.lower()) if len(word) <= _LONGEST and _PLAIN.fullmatch(word) else None
            if correction is None:
                return word
            corrections += 1
            return _in_case_of(word, correction)

        corrected = _WORD.sub(replace, text)
        return Corrected(corrected, words, corrections)

    def _find(self, word: str) -> str | None:
        """Return the most frequent known word one edit away, or None if ``word`` is known or has no such neighbour."""
        if word in self._frequencies:
            return None
        candidates = [near for near in _one_edit_away(word) if near in self._frequencies]
        return max(candidates, key=lambda near: (self._frequencies[near], near), default=None)


def _one_edit_away(word: str) -> Iterator[str]:
    """Yield each neighbour: one letter removed, two swapped, one added or one replaced; some come twice."""
    for cut in range(len(word) + 1):
        head, tail = word[:cut], word[cut:]
        yield head + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for letter in ascii_lowercase:
            yield head + letter + tail
            yield head + letter + tail[1:]


def _in_case_of(word: str, correction: str) -> str:
    if word.isupper() and len(word) > 1:
        return correction.upper()
    return correction[0].upper() + correction[1:] if word[0].isupper() else correction
