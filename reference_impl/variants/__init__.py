"""Variants of the reference, each with one deliberate flaw that the harness must see. One flaw, one file, one row."""

from collections.abc import Mapping

VARIANTS: Mapping[str, str] = {
    "setnx_only": "reference_impl.variants.setnx_only:SetnxOnly",
    "memory_dedupe": "reference_impl.variants.memory_dedupe:MemoryDedupe",
}
"""Name to a provider (``"module:Name"``); it applies to every service that provides all the types that it replaces."""
