"""``python -m reference_impl.variants VARIANT SERVICE``: run a reference service with one provider replaced."""

import sys
from collections.abc import Sequence
from importlib import import_module

from dishka import Provider

from reference_impl.service_libs.serving import main
from reference_impl.variants import VARIANTS


def providers(variant: str, service: str) -> list[Provider]:
    """Return the service's own providers, overridden by the variant's if the service provides every type it replaces.

    Raises ``KeyError`` for an unknown variant, ``ModuleNotFoundError`` for an unknown service.
    """
    module, _, name = VARIANTS[variant].partition(":")
    swapped: Provider = getattr(import_module(module), name)()
    own: list[Provider] = import_module(f"reference_impl.{service}.di").providers()
    return [*own, swapped] if provided([swapped]) <= provided(own) else own


def provided(providers: Sequence[Provider]) -> set[object]:
    """The types that ``providers`` provide."""
    factories = {made.provides.type_hint for one in providers for made in one.factories}
    return factories | {alias.provides.type_hint for one in providers for alias in one.aliases}


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if len(arguments) != 2 or arguments[0] not in VARIANTS:  # noqa: PLR2004 - a variant and a service
        sys.exit(f"usage: python -m reference_impl.variants VARIANT SERVICE\nvariants: {', '.join(VARIANTS)}")
    main(*providers(*arguments))
