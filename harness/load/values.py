"""The values of a template's placeholders, for each operation of a load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from uuid import NAMESPACE_OID, uuid5

from harness.load.documents import WORDS
from harness.template import between


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one operation: ``own`` by name, and others drawn from the seed and its place in the load."""

    seed: int
    index: int
    own: Mapping[str, str | int]

    @classmethod
    def of(cls, seed: int, index: int, operation: str, batch: str, batch_size: int) -> Values:
        """The values of operation number ``index``, from 0; its ``{uuid}`` is derived from its id."""
        own: dict[str, str | int] = {"id": operation, "n": index, "batch": batch, "batch_size": batch_size}
        return cls(seed, index, own | {"uuid": str(uuid5(NAMESPACE_OID, operation))})

    def having(self, more: Mapping[str, str]) -> Values:
        """A copy with further ``own`` values."""
        return Values(self.seed, self.index, {**self.own, **more})

    def __call__(self, name: str, argument: str | None) -> str | int:
        """Return a placeholder's value: the same wherever the operation uses it, the same again from the same seed."""
        if name in self.own:
            return self.own[name]
        random = Random(f"{self.seed}:{self.index}:{name}:{argument}")
        if name == "number":
            return random.randint(*between(argument))
        return random.choice((argument or "").split("|") if name == "choice" else WORDS)
