"""``python -m reference_impl.spell_checker``."""

from reference_impl.service_libs.serving import main
from reference_impl.spell_checker.di import providers

main(*providers())
