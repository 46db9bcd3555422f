"""The provider that each service has of its own, also one that publishes nothing and needs no client of anything."""

from collections.abc import Callable
from typing import Any

from dishka import Provider, Scope, WithParents

from reference_impl.service_libs.settings import ServiceSettings, load


def own_provider(settings: type[ServiceSettings], *sources: Callable[..., Any]) -> Provider:
    """Provide a service's settings, under each of their base classes too, and what ``sources`` make."""
    provider = Provider(scope=Scope.APP)
    provider.provide(lambda: load(settings, settings.SERVICE), provides=WithParents[settings])  # type: ignore[misc, valid-type]
    provider.provide_all(*sources)
    return provider
