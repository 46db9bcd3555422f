"""Faults break a link, a process, a broker or a store on purpose; each has one file and one row in the table."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from harness.errors import PlanRefused, nearest
from harness.faults.base import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLE: Final[Mapping[str, str]] = {
    "net.latency": "harness.faults.net_latency:NetLatency",
    "net.bandwidth": "harness.faults.net_bandwidth:NetBandwidth",
    "net.hang": "harness.faults.net_hang:NetHang",
    "net.reset": "harness.faults.net_reset:NetReset",
    "net.down": "harness.faults.net_down:NetDown",
    "net.partition": "harness.faults.net_partition:NetPartition",
    "redis.lose": "harness.faults.redis_lose:RedisLose",
    "redis.restart": "harness.faults.redis_restart:RedisRestart",
    "service.kill": "harness.faults.service_kill:ServiceKill",
    "service.pause": "harness.faults.service_pause:ServicePause",
    "service.scale": "harness.faults.service_scale:ServiceScale",
    "kafka.redeliver": "harness.faults.kafka_redeliver:KafkaRedeliver",
    "kafka.duplicate": "harness.faults.kafka_duplicate:KafkaDuplicate",
    "kafka.malformed": "harness.faults.kafka_malformed:KafkaMalformed",
    "tap.lose_request": "harness.faults.tap_lose_request:TapLoseRequest",
    "tap.lose_reply": "harness.faults.tap_lose_reply:TapLoseReply",
    "tap.delay": "harness.faults.tap_delay:TapDelay",
    "tap.cut": "harness.faults.tap_cut:TapCut",
    "tap.hold": "harness.faults.tap_hold:TapHold",
    "tap.duplicate": "harness.faults.tap_duplicate:TapDuplicate",
    "tap.corrupt": "harness.faults.tap_corrupt:TapCorrupt",
    "tap.error": "harness.faults.tap_error:TapError",
}
"""Fault name -> ``module:class``."""


def fault_type(name: str) -> type[Fault]:
    """Return the class of a fault; PlanRefused lists the known names and the nearest."""
    if name not in TABLE:
        raise PlanRefused(f"there is no fault {name!r}{nearest(name, TABLE)}; known: {', '.join(TABLE)}")
    module, _, attribute = TABLE[name].partition(":")
    fault_class: type[Fault] = getattr(import_module(module), attribute)
    return fault_class


__all__ = ["TABLE", "Fault", "fault_type"]
