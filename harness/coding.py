"""How a system file describes record values that are not JSON: what decodes them, and what encodes them."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from harness.model import Command, Model

Function = Annotated[str, StringConstraints(pattern=r"^\w+(\.\w+)*:\w+$"), Field(title="module:function")]


class Coder(Model):
    """A program or a Python function, in the system file's folder."""

    command: Command | None = Field(default=None, repr=False)
    function: Function | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.command is None) == (self.function is None):
            raise ValueError("write either command: or function:")
        return self


class Decode(Coder):
    """Turns record values into JSON: a program or a Python function, in the system file's folder."""

    command: Command | None = Field(default=None, repr=False)
    """A program, given one value a line in base64, that prints a line of JSON for each: ``./decode order.avsc``."""
    function: Function | None = None
    """A function from bytes to what JSON can hold, for example ``decoding:order``, that raises if it cannot decode them."""


class Encode(Coder):
    """Turns JSON into record values that ``events.decode`` can read: a program or a Python function."""

    command: Command | None = Field(default=None, repr=False)
    """A program, given one JSON text a line, that prints a line of base64 for each: ``./encode order.avsc``."""
    function: Function | None = None
    """A function from what the JSON holds to bytes, for example ``decoding:of_order``."""
