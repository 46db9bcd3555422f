"""Every variant changes a service, declares its anomalies in the system file, and has a scenario that finds them."""

from importlib import import_module
from pathlib import Path

import pytest
from dishka import make_async_container

from harness.files import load
from harness.scenario import Scenario
from harness.system import System
from reference_impl.essay_lifecycle import di
from reference_impl.service_libs.idempotency import IdempotencyGuard, InboxGuard
from reference_impl.variants import VARIANTS
from reference_impl.variants.__main__ import providers
from reference_impl.variants.memory_dedupe import MemoryGuard
from reference_impl.variants.setnx_only import SetnxGuard

ROOT = Path(__file__).parents[2]
SYSTEM = ROOT / "reference_impl" / "system.yaml"
SERVICES = [
    path.parent.name for path in (ROOT / "reference_impl").glob("*/di.py") if path.parent.name != "service_libs"
]


def expected() -> dict[str, list[str]]:
    """Variant -> the anomalies that the system file declares for it."""
    variants = load(SYSTEM, System).variants
    return variants.find if variants is not None else {}


def found(variant: str) -> set[str]:
    """The anomalies that scenarios of the gate must find in a variant."""
    scenarios = [load(path, Scenario) for path in (ROOT / "scenarios").glob("*.yaml")]
    lines = [one.variants[variant] for one in scenarios if "gate" in one.tags and variant in one.variants]
    return {anomaly for line in lines if line.verdict == "invalid" for anomaly in line.find}


def test_every_file_has_a_row() -> None:
    files = {
        path.stem for path in (ROOT / "reference_impl" / "variants").glob("*.py") if not path.stem.startswith("_")
    }
    rows = {where.partition(":")[0].rpartition(".")[2] for where in VARIANTS.values()}
    assert not files - rows, "add a row to VARIANTS in reference_impl/variants/__init__.py for each of these"


def test_every_variant_of_the_system_file_is_in_the_table() -> None:
    unknown = expected().keys() - VARIANTS.keys()
    assert not unknown, "add a row to VARIANTS in reference_impl/variants/__init__.py for each of these"


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_swaps_something_that_a_service_has(service_environment, variant: str) -> None:
    own = {name: import_module(f"reference_impl.{name}.di").providers() for name in SERVICES}
    changed = [name for name in SERVICES if len(providers(variant, name)) > len(own[name])]
    assert changed, f"{variant} changes no service: `provides=` must name types that a service's di.py provides"


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_scenario_finds_it(variant: str) -> None:
    anomalies = set(expected().get(variant, ()))
    assert anomalies, (
        f"{SYSTEM.name} declares no anomaly for {variant}: write `variants: {{find: {{{variant}: [ANOMALY]}}}}`"
    )
    missing = ", ".join(sorted(anomalies - found(variant)))
    assert not missing, (
        f"no scenario of the gate expects {missing} in {variant}: write `{variant}: {{verdict: invalid, find: [{missing}]}}` "
        "under `variants:` of a scenario that finds it, in scenarios/"
    )


@pytest.mark.parametrize(("name", "replacement"), [("setnx_only", SetnxGuard), ("memory_dedupe", MemoryGuard)])
async def test_the_guard_is_replaced_and_nothing_else(service_environment, name, replacement):
    own, variant = di.providers(), providers(name, "essay_lifecycle")
    assert [type(each) for each in variant[:-1]] == [type(each) for each in own]
    assert len(variant) == len(own) + 1
    for chosen, guard in ((own, InboxGuard), (variant, replacement)):
        container = make_async_container(*chosen)
        assert type(await container.get(IdempotencyGuard)) is guard
        await container.close()
