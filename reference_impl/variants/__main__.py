"""``python -m reference_impl.variants VARIANT SERVICE``: a service of the reference, with one provider swapped."""

import sys
from importlib import import_module

from dishka import Provider

from reference_impl.service_libs.serving import main
from reference_impl.variants import VARIANTS


def providers(variant: str, service: str) -> list[Provider]:
    """The service's own providers, and over them the variant's.

    Raises KeyError for a variant that is not in the table, ModuleNotFoundError for a service that is none.
    """
    swapped, services = VARIANTS[variant]
    own: list[Provider] = import_module(f"reference_impl.{service}.di").providers()
    if service not in services:
        return own
    module, _, name = swapped.partition(":")
    return [*own, getattr(import_module(module), name)()]


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if len(arguments) != 2 or arguments[0] not in VARIANTS:  # noqa: PLR2004 - a variant and a service
        sys.exit(f"usage: python -m reference_impl.variants VARIANT SERVICE\nvariants: {', '.join(VARIANTS)}")
    main(*providers(*arguments))
