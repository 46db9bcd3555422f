"""What a service says on stderr."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reference_impl.service_libs.logging import LONGEST, brief

FAILING = """
import logging as standard
import structlog
from reference_impl.service_libs import logging

logging.configure("a_service", "INFO")
essay = "Dear diary. " * 10_000
for raises in (lambda: (essay.encode() + b"\\xff").decode(), lambda: {}[essay]):
    try:
        raises()
    except (ValueError, KeyError):
        structlog.get_logger().warning("failed", exc_info=True)
        standard.getLogger("a_library").exception("failed")
"""


IN_GROUPS = """
import structlog
from reference_impl.service_libs import logging

logging.configure("a_service", "INFO")
try:
    raise ExceptionGroup("outer", [ExceptionGroup("inner", [ValueError("Dear diary. " * 10_000)]), KeyError("k")])
except ExceptionGroup:
    structlog.get_logger().warning("failed", exc_info=True)
"""


def logged(program):
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    ).stderr


def test_a_traceback_holds_neither_locals_nor_a_long_text():
    decoded, decoded_elsewhere, *looked_up = map(json.loads, logged(FAILING).splitlines())
    for entry in (decoded, decoded_elsewhere):
        assert "can't decode byte 0xff" in entry["exception"][0]["exc_value"]
        assert "diary" not in json.dumps(entry)
    for entry in looked_up:
        assert entry["exception"][0]["exc_type"] == "KeyError"
        assert len(json.dumps(entry)) < 3 * LONGEST


def test_the_errors_of_a_group_are_cut_too():
    (outer,) = json.loads(logged(IN_GROUPS))["exception"]
    (inner,), (_looked_up,) = outer["exceptions"]
    ((diary,),) = inner["exceptions"]
    assert diary["exc_value"].startswith("Dear diary.")
    assert len(diary["exc_value"]) == LONGEST


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no"), "ValueError: no"),
        (TimeoutError(), "TimeoutError:"),
        (ValueError("one\n[two]"), "ValueError: one [two]"),
        (ValueError("x" * 10_000), f"ValueError: {'x' * (LONGEST - 12)}"),
        (
            UnicodeDecodeError("utf-8", b"secret\xff", 6, 7, "bad"),
            "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 6: bad",
        ),
    ],
)
def test_an_error_is_told_on_one_line_without_what_it_is_about(error, text):
    assert brief(error) == text
