"""Print every figure: ``python -m benchmarks``, or ``python -m benchmarks history`` for one part."""

from __future__ import annotations

import sys
from importlib import import_module

PARTS = ("history", "checkers", "report", "stack", "taps", "rerouted", "consumer", "load", "scenarios")


def main() -> None:
    """Run the named parts, or all; each prints its own figures."""
    for part in sys.argv[1:] or PARTS:
        if part not in PARTS:
            sys.exit(f"no part {part!r}; the parts are {', '.join(PARTS)}")
        print(f"== {part}", flush=True)
        import_module(f"benchmarks.{part}").main()


if __name__ == "__main__":
    main()
