"""What an order is, on the wire."""

from typing import Literal

from pydantic import BaseModel


class Order(BaseModel):
    """An order that was placed."""

    id: str
    kind: Literal["order.placed"] = "order.placed"
    customer: str
    cents: int
