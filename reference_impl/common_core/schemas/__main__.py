"""``python -m reference_impl.common_core.schemas [--check]``."""

import argparse
import sys
from collections.abc import Sequence

from reference_impl.common_core import schemas


def main(arguments: Sequence[str]) -> int:
    """Write the schemas, or with ``--check`` only report stale ones; return the exit status, 1 if any is stale."""
    parser = argparse.ArgumentParser(
        prog="python -m reference_impl.common_core.schemas", description="Write the JSON Schema of each event."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is not up to date")
    if not parser.parse_args(arguments).check:
        schemas.write()
        return 0
    stale = schemas.drift()
    for name in stale:
        sys.stderr.write(f"{name} is not up to date: run python -m reference_impl.common_core.schemas\n")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
