"""The states of an essay, and the allowed transitions."""

from enum import StrEnum

from reference_impl.service_libs.errors import IllegalTransition


class EssayState(StrEnum):
    """The state of an essay."""

    READY = "ready"
    REJECTED = "rejected"


_MAY_FOLLOW: dict[EssayState, frozenset[EssayState]] = {
    EssayState.READY: frozenset({EssayState.READY}),  # extracted again: the text may differ
    EssayState.REJECTED: frozenset(EssayState),  # a better extractor may make it ready
}


def check(essay_id: str, present: EssayState, new: EssayState) -> None:
    """Raise ``IllegalTransition`` unless ``new`` may follow ``present``. A new essay may begin in any state."""
    if new not in _MAY_FOLLOW[present]:
        raise IllegalTransition(f"essay {essay_id} is {present} and cannot become {new}")
