"""Original upstreams of the user's proxies that lead to taps, kept in a file in case the harness is killed."""

from __future__ import annotations

import json
from pathlib import Path


class Led:
    """Upstreams (host:port) by proxy, in a file beside the addresses file, which exists while one is redirected."""

    def __init__(self, addresses: Path) -> None:
        self._file = addresses.with_name(f"{addresses.name}.led")

    def before(self) -> dict[str, str]:
        """Return the original upstream of each proxy that is still redirected."""
        try:
            found: dict[str, str] = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        return found

    def keep(self, proxy: str, upstream: str) -> None:
        """Record a proxy's original upstream, unless one is recorded already."""
        self._write({proxy: upstream, **self.before()})

    def over(self, proxy: str) -> None:
        """Forget a proxy whose upstream has been restored."""
        self._write({name: upstream for name, upstream in self.before().items() if name != proxy})

    def _write(self, upstreams: dict[str, str]) -> None:
        if not upstreams:
            self._file.unlink(missing_ok=True)
            return
        # Atomically: whenever the harness is killed, no reader finds half a file.
        new = self._file.with_name(f"{self._file.name}.new")
        new.write_text(json.dumps(upstreams))
        new.replace(self._file)
