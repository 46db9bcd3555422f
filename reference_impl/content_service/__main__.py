"""``python -m reference_impl.content_service``."""

from reference_impl.content_service.di import providers
from reference_impl.service_libs.serving import main

main(*providers())
