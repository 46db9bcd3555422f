"""The JUnit file fits the schema that the strictest reader holds it to, whatever it is made of."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from harness.reports.junit import junit
from tests.unit.reports.cases import case, document

SCHEMA = etree.XMLSchema(etree.parse(str(Path(__file__).with_name("junit.xsd"))))
STARTED = datetime(2026, 11, 24, 1, 2, 3, 456, UTC)
HOSTILE = "a<b>&\"'\x00\x1b[31m\ud800\ufffe]]>é"


def read(cases) -> etree._Element:
    root = etree.fromstring(junit(cases, seed=41, started=STARTED))
    SCHEMA.assertValid(root)
    return root


def test_what_passed_failed_and_could_not_be_run() -> None:
    found = document("invalid", anomalies={"lost": 3})
    root = read([case(), case(variant="setnx_only", made=found), case("other", error="kafka did not start\nits log")])
    suite = root.find("testsuite")
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "time", "timestamp")} == {
        "tests": "3",
        "failures": "1",
        "errors": "1",
        "time": "37.500",
        "timestamp": "2026-11-24T01:02:03",
    }
    assert suite.find("properties/property").attrib == {"name": "seed", "value": "41"}
    good, failed, broken = suite.findall("testcase")
    assert (good.get("classname"), good.get("name"), len(good)) == ("scenarios.outage", "reference", 0)
    assert failed.get("name") == "setnx_only"
    assert failed.find("failure").attrib == {"type": "invalid", "message": "invalid with lost 3, expected valid"}
    assert "again: oneffect run outage --seed 41" in failed.find("failure").text
    assert broken.find("error").attrib == {"type": "error", "message": "could not be run: kafka did not start"}
    assert broken.find("error").text.endswith("kafka did not start\nits log")


def test_a_gate_that_was_broken_off_says_so() -> None:
    said = "interrupted by SIGTERM: 1 of 2 runs were not made"
    made = junit([case(), case("b", error=f"was not made; {said}")], seed=41, started=STARTED, broken_off=said)
    root = etree.fromstring(made)
    SCHEMA.assertValid(root)
    assert root.find(".//property[@name='broken off']").get("value") == said
    assert root.find("testsuite").get("errors") == "1"
    assert root.find(".//error").get("message") == f"could not be run: was not made; {said}"


def test_worse_than_the_base_is_a_failure() -> None:
    root = read([replace(case(), regressions=["no longer bites: net.hang bit 1 times, 2 in the base"])])
    assert "no longer bites" in root.find(".//failure").get("message")


@pytest.mark.parametrize("hostile", [HOSTILE, "</failure>", "]]>", "&#0;", "\r\n\t"])
def test_untrusted_text_stays_text(hostile: str) -> None:
    made = document("invalid", anomalies={hostile: 1})
    root = read([case(made=made), case("b", error=hostile), case(directory=Path(f"runs/{hostile}"))])
    assert not root.xpath(
        "//*[not(self::testsuites or self::testsuite or self::properties or self::property or "
        "self::testcase or self::failure or self::error or self::system-out or self::system-err)]"
    )
    assert "\x1b" not in "".join(root.itertext())


@given(st.text())
def test_any_text_can_be_written(text: str) -> None:
    read([case(error=text or "x"), case(made=document("invalid", anomalies={text: 1}))])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b' hostname="', b' host="'),
        (b' time="12.500"', b""),
        (b'timestamp="2026-11-24T01:02:03"', b'timestamp="2026-11-24T01:02:03+00:00"'),
        (b"<failure ", b"<failed "),
        (b"<system-err />", b""),
        (b' type="invalid"', b""),
        (b'tests="1"', b'tests="one"'),
    ],
)
def test_the_schema_refuses(before: bytes, after: bytes) -> None:
    made = junit([case(made=document("invalid"))], seed=1, started=STARTED)
    assert before in made
    changed = made.replace(before, after).replace(
        b"</failure>", b"</failed>" if after == b"<failed " else b"</failure>"
    )
    assert SCHEMA.validate(etree.fromstring(made))
    assert not SCHEMA.validate(etree.fromstring(changed))
