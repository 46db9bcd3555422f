"""``python -m reference_impl.cj_assessment``."""

from reference_impl.cj_assessment.di import providers
from reference_impl.service_libs.serving import main

main(*providers())
