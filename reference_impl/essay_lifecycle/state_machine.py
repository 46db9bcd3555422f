"""An essay's states, and which may follow which."""

from enum import StrEnum

from reference_impl.service_libs.errors import IllegalTransition


class EssayState(StrEnum):
    """Where an essay stands."""

    READY = "ready"
    REJECTED = "rejected"


_MAY_FOLLOW: dict[EssayState, frozenset[EssayState]] = {
    EssayState.READY: frozenset({EssayState.READY}),  # extracted again: the text may be another
    EssayState.REJECTED: frozenset(EssayState),  # a better extractor may make it ready
}


def check(essay_id: str, present: EssayState, wanted: EssayState) -> None:
    """Raise ``IllegalTransition`` unless ``wanted`` may follow. An essay not heard of yet may begin in any state."""
    if wanted not in _MAY_FOLLOW[present]:
        raise IllegalTransition(f"essay {essay_id} is {present} and cannot become {wanted}")
