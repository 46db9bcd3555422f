"""JUnit XML as GitHub's actions, GitLab and Jenkins read it: one suite, one test case per run."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import datetime
from xml.etree import ElementTree as ET

from harness.reports.case import REFERENCE, Case
from harness.reports.untrusted import shown


def junit(cases: Sequence[Case], *, seed: int, started: datetime, broken_off: str = "") -> bytes:
    """Return the whole file. A run that did not pass is a failure; a run that could not be made is an error.

    ``broken_off`` says why some runs were not made, and how many.
    """
    suites = ET.Element("testsuites")
    suite = ET.SubElement(
        suites,
        "testsuite",
        {
            "id": "0",
            "package": "scenarios",
            "name": "oneffect",
            "timestamp": started.strftime("%Y-%m-%dT%H:%M:%S"),
            "hostname": _plain(platform.node()) or "localhost",
            "tests": str(len(cases)),
            "failures": str(sum(case.document is not None and not case.passed for case in cases)),
            "errors": str(sum(case.document is None for case in cases)),
            "time": _seconds(sum(case.seconds for case in cases)),
        },
    )
    properties = ET.SubElement(suite, "properties")
    ET.SubElement(properties, "property", {"name": "seed", "value": str(seed)})
    if broken_off:
        ET.SubElement(properties, "property", {"name": "broken off", "value": _plain(broken_off)})
    for case in cases:
        _case(suite, case)
    runs = [f"{case.label}: {case.directory}" for case in cases if case.document is not None]
    ET.SubElement(suite, "system-out").text = _plain("\n".join(runs))
    ET.SubElement(suite, "system-err")
    ET.indent(suites)
    made: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return made


def _case(suite: ET.Element, case: Case) -> None:
    names = {"classname": f"scenarios.{case.scenario}", "name": case.variant or REFERENCE}
    element = ET.SubElement(
        suite, "testcase", {name: _plain(text) for name, text in names.items()} | {"time": _seconds(case.seconds)}
    )
    if not case.passed:
        kind = "failure" if case.document is not None else "error"
        why = {"type": case.verdict, "message": _plain(case.why)}
        ET.SubElement(element, kind, why).text = _plain(case.story)


def _plain(text: str) -> str:
    """Replace what XML cannot hold; the writer escapes the rest."""
    return shown(text, lines=True)


def _seconds(value: float) -> str:
    return f"{value:.3f}"
