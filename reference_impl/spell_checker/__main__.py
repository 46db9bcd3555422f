"""``python -m reference_impl.spell_checker``."""

from __future__ import annotations

from reference_impl.service_libs.serving import main
from reference_impl.spell_checker.di import providers

if __name__ == "__main__":
    main(*providers())
