"""The front door: takes an order over HTTP, and publishes it."""

import os

from faststream.asgi import AsgiFastStream, AsgiResponse, Request, make_ping_asgi, post
from faststream.kafka import KafkaBroker
from orders import Order

broker = KafkaBroker(os.environ["KAFKA"], enable_idempotence=True)


@post
async def place(request: Request) -> AsgiResponse:
    """Acknowledge an order once the broker has it."""
    order = Order.model_validate(await request.json())
    await broker.publish(order, os.environ["ORDERS"], key=order.customer.encode())
    return AsgiResponse(status_code=202)


app = AsgiFastStream(broker, asgi_routes=[("/orders", place), ("/health", make_ping_asgi(broker, timeout=5))])
