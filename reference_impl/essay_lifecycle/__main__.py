"""``python -m reference_impl.essay_lifecycle``."""

from reference_impl.essay_lifecycle.di import providers
from reference_impl.service_libs.serving import main

main(*providers())
