"""The features of an essay that the judge compares."""

import re
from dataclasses import dataclass

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
_END = re.compile(r"[.!?]+")

_BEST_SENTENCE = 18
"""In words; sentences that are shorter or longer on average read worse."""


@dataclass(frozen=True)
class Features:
    """Counts, as stored and published; ratios are computed where they are needed."""

    words: int
    distinct_words: int
    sentences: int
    corrections: int

    @property
    def criteria(self) -> tuple[float, ...]:
        """Length, vocabulary, readability, spelling: higher is better."""
        return (
            self.words,
            self.distinct_words,
            -abs(self.words / max(1, self.sentences) - _BEST_SENTENCE),
            -self.corrections / max(1, self.words),
        )


def measure(text: str, corrections: int) -> Features:
    """Measure a corrected text; ``corrections`` is how many words were corrected in it."""
    words = _WORD.findall(text.lower())
    sentences = sum(1 for part in _END.split(text) if _WORD.search(part))
    return Features(len(words), len(set(words)), sentences, corrections)
