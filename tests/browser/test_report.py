"""report.html in a real browser: it opens in silence, asks nobody for anything, and its stories open by a click."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.run import judge_directory
from tests.browser.chromium import Chromium

Reported = Callable[[str], Path]

RECORDED = ["bad/lost.recorded", "bad/duplicate.recorded", "good/malformed.recorded", "bad/raw_different"]
HOSTILE = "</td></table><img src=http://127.0.0.1:9/x onerror=console.error(1)><script>console.error(2)</script>"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", RECORDED)
def test_it_opens_in_silence(browser: Chromium, reported: Reported, name: str, dark: bool) -> None:
    page = reported(name)
    browser.open(page, dark=dark)
    assert browser.value("document.querySelector('h1').innerText") in {"Valid", "Unknown", "Invalid"}
    assert browser.said == []
    assert browser.asked_for == [page.resolve().as_uri()]


def test_the_style_sheet_is_let_in_by_its_hash(browser: Chromium, reported: Reported) -> None:
    page = reported("good/malformed.recorded")
    grounds = []
    for dark in (False, True):
        browser.open(page, dark=dark)
        grounds.append(browser.value("getComputedStyle(document.body).backgroundColor"))
    assert len(set(grounds)) == 2
    assert "rgba(0, 0, 0, 0)" not in grounds


def test_the_story_of_a_lost_event_opens_by_a_click(browser: Chromium, reported: Reported) -> None:
    browser.open(reported("bad/lost.recorded"))
    shown = "document.querySelector('details.story .moments').checkVisibility()"
    assert browser.value("document.querySelector('details.story summary .name').innerText") == "lost"
    assert not browser.value(shown)
    browser.click("details.story summary")
    browser.until(shown)
    assert "the final read begins, and finds no effect" in browser.value(
        "document.querySelector('.moments').innerText"
    )
    assert (
        browser.value("document.querySelector('details.story .mark.wrong circle').getBoundingClientRect().width") > 10
    )
    browser.click("details.story summary")
    browser.until(f"!{shown}")
    assert browser.said == []


def test_marks_and_words_do_not_lie_on_each_other(browser: Chromium, reported: Reported) -> None:
    browser.open(reported("bad/duplicate.recorded"))
    browser.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    overlaps = """
        [...document.querySelectorAll('svg')].flatMap(svg => ['.mark circle', '.mark .word', '.tick'].flatMap(kind => {
            const all = [...svg.querySelectorAll(kind)].map(one => [one, one.getBoundingClientRect()]);
            return all.flatMap(([a, p], n) => all.slice(n + 1).filter(([, q]) =>
                p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 1 && q.top < p.bottom - 1
            ).map(([b]) => [a.textContent, b.textContent]));
        }))
    """
    assert browser.value("document.querySelectorAll('.mark .word').length") > 20
    assert browser.value(overlaps) == []


@pytest.mark.parametrize("name", ["bad/lost.recorded", "bad/raw_different"])
def test_a_phone_scrolls_in_one_direction(browser: Chromium, reported: Reported, name: str) -> None:
    browser.open(reported(name), width=375, height=740)
    browser.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.value("document.documentElement.scrollWidth") == 375
    assert browser.value("parseFloat(getComputedStyle(document.querySelector('.lead')).fontSize)") >= 16


def test_hostile_names_do_nothing(browser: Chromium, reported: Reported, tmp_path: Path) -> None:
    page = reported("bad/lost.recorded")
    history = page.with_name("history.jsonl")
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    for line in lines:
        for field in ("file_name", "name", "target", "effect"):
            if field in line:
                line[field] += HOSTILE
    history.write_text("".join(json.dumps(line) + "\n" for line in lines))
    judge_directory(page.parent)
    browser.open(page)
    assert browser.value("document.querySelectorAll('img, script').length") == 0
    assert HOSTILE[:40] in browser.value("document.querySelector('.moments').textContent")
    assert browser.said == []
    assert browser.asked_for == [page.resolve().as_uri()]


@pytest.mark.parametrize(
    "added",
    [
        "<script>console.error('x')</script>",
        "<img src='http://127.0.0.1:9/x'>",
        "<p style='color: red'>x</p>",
    ],
)
def test_what_the_policy_forbids_is_said(browser: Chromium, reported: Reported, added: str) -> None:
    """The tests above can fail: a page with anything foreign in it is not silent."""
    page = reported("good/malformed.recorded")
    page.write_text(page.read_text().replace("</main>", f"{added}</main>"))
    browser.open(page)
    assert any("Content Security Policy" in one for one in browser.said)
