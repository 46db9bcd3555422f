"""``python -m reference_impl.cj_assessment``."""

from __future__ import annotations

from reference_impl.cj_assessment.di import providers
from reference_impl.service_libs.serving import main

if __name__ == "__main__":
    main(*providers())
