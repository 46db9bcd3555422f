"""The spell checker's settings."""

from typing import ClassVar

from reference_impl.service_libs.settings import ConsumerSettings


class SpellCheckerSettings(ConsumerSettings):
    """Settings of the spell checker."""

    SERVICE: ClassVar[str] = "spell_checker"

    group: str = "spell_checker"
