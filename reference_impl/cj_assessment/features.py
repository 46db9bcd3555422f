"""What the judge looks at in an essay."""

import re
from dataclasses import dataclass

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
_END = re.compile(r"[.!?]+")

_BEST_SENTENCE = 18
"""Words; sentences that are shorter or longer on average read worse."""


@dataclass(frozen=True)
class Features:
    """Counts, as they are kept and sent: a ratio is made of them where it is needed."""

    words: int
    distinct_words: int
    sentences: int
    corrections: int

    @property
    def criteria(self) -> tuple[float, ...]:
        """Length, vocabulary, ease of the sentences, spelling: the higher, the better."""
        return (
            self.words,
            self.distinct_words,
            -abs(self.words / max(1, self.sentences) - _BEST_SENTENCE),
            -self.corrections / max(1, self.words),
        )


def measure(text: str, corrections: int) -> Features:
    """The features of a corrected text, which took so many corrections."""
    words = _WORD.findall(text.lower())
    sentences = sum(1 for part in _END.split(text) if _WORD.search(part))
    return Features(len(words), len(set(words)), sentences, corrections)
