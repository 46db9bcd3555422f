"""The reference with one deliberate flaw each, to prove that the harness sees it. One flaw, one file, one row."""

from collections.abc import Mapping

CONSUMERS = frozenset({"essay_lifecycle", "batch_orchestrator", "spell_checker", "cj_assessment"})

VARIANTS: Mapping[str, tuple[str, frozenset[str]]] = {
    "setnx_only": ("reference_impl.variants.setnx_only:SetnxOnly", CONSUMERS),
}
"""Name to the provider that is put over the service's own, as ``"module:Name"``, and the services it is put over."""
