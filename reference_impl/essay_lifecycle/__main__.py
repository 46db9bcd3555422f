"""``python -m reference_impl.essay_lifecycle``."""

from __future__ import annotations

from reference_impl.essay_lifecycle.di import providers
from reference_impl.service_libs.serving import main

if __name__ == "__main__":
    main(*providers())
