"""Where the user's proxies led before the harness's taps: kept in a file, for a harness may be killed."""

from __future__ import annotations

import json
from pathlib import Path


class Led:
    """Upstreams (host:port) by proxy, in a file beside the addresses file that is there only as long as any is led."""

    def __init__(self, addresses: Path) -> None:
        self._file = addresses.with_name(f"{addresses.name}.led")

    def before(self) -> dict[str, str]:
        """Return where each proxy led that has not been led back."""
        try:
            found: dict[str, str] = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        return found

    def keep(self, proxy: str, upstream: str) -> None:
        """Note where a proxy leads, unless that is noted already."""
        self._write({proxy: upstream, **self.before()})

    def over(self, proxy: str) -> None:
        """Forget a proxy that has been led back."""
        self._write({name: upstream for name, upstream in self.before().items() if name != proxy})

    def _write(self, upstreams: dict[str, str]) -> None:
        if not upstreams:
            self._file.unlink(missing_ok=True)
            return
        # A reader finds the whole of it, whenever the harness is killed.
        new = self._file.with_name(f"{self._file.name}.new")
        new.write_text(json.dumps(upstreams))
        new.replace(self._file)
