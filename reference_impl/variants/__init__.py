"""The reference with one deliberate flaw each, to prove that the harness sees it. One flaw, one file, one row."""

from collections.abc import Mapping

VARIANTS: Mapping[str, str] = {
    "setnx_only": "reference_impl.variants.setnx_only:SetnxOnly",
}
"""Name -> ``"module:Name"`` of a provider; it applies to each service that provides every type it replaces."""
