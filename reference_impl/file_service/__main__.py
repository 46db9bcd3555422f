"""``python -m reference_impl.file_service``."""

from __future__ import annotations

from reference_impl.file_service.di import providers
from reference_impl.service_libs.serving import main

if __name__ == "__main__":
    main(*providers())
