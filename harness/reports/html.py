"""report.html: a judged run as one self-contained page, without network or script.

Everything that the run recorded is escaped as text: see html_tag. The page's content security policy forbids every
address and script, and allows its one style sheet by hash.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from harness.reports import said
from harness.reports.coverage import STAGES, details, untried
from harness.reports.document import Document, Templates, write_whole
from harness.reports.html_scale import bands
from harness.reports.html_story import anomalies
from harness.reports.html_tag import Html, join, tag
from harness.reports.html_timeline import timeline

if TYPE_CHECKING:
    from harness.history.reader import History

_FAULTS: Final = 200


def write(path: Path, history: History, document: Document, templates: Templates) -> None:
    """Write a run's report.html from its verdict.json and its history, atomically."""
    write_whole(path, page(history, document, templates, run=path.parent.resolve().name).encode())


def page(history: History, document: Document, templates: Templates, *, run: str) -> str:
    """Return the whole page, less than 2 MB; ``run`` is the directory's name, by which `oneffect show` finds it."""
    span = history.sql("SELECT coalesce(max(t), 0) AS t FROM history")[0]["t"]
    faults = bands(history, span)
    evidence = anomalies(history, document, templates, faults, run)
    tables = [_tried(row) for row in document.get("coverage", [])]
    return framed(
        f"{document['verdict']}: {said.label(document)}, seed {document['seed']}",
        _head(document),
        _figures(document),
        tag("section", tag("h2", "Timeline"), timeline(history, faults)),
        tag("section", tag("h2", "Anomalies"), evidence) if evidence else None,
        tag("section", tag("h2", "Checks"), _checks(document["findings"])),
        tag("section", tag("h2", "Faults and their evidence"), *_faults(document["faults"])),
        tag("section", tag("h2", "What the taps saw tried"), *tables) if tables else None,
        tag("section", tag("h2", "Versions, and how to run it again"), _again(document, run)),
    )


def framed(title: str, *main: Html | None) -> str:
    """Return a page with the harness's style sheet, and a policy that forbids everything else."""
    style = Html(Path(__file__).with_name("html.css").read_text(encoding="utf-8"))
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", style),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', tag('main', *main)), lang='en')}\n"


def _head(document: Document) -> Html:
    """The verdict, and what proves it."""
    verdict = str(document["verdict"])
    expected = said.expected(document)
    notes = []
    if document.get("scenario", True):
        notes.append(
            tag("p", f"As expected: {expected}.", class_="note")
            if document["as_expected"]
            else tag("p", f"Not as expected: the scenario expects {expected}.", class_="note bad")
        )
    if not document["complete"]:
        notes.append(tag("p", "The history ends before the run did.", class_="note bad"))
    notes += [tag("p", f"Left out: {words}", class_="note bad") for words in said.left_out(document)]
    run = f"{said.label(document)} · seed {document['seed']} · {str(document['started'])[:16].replace('T', ' ')} UTC"
    return tag(
        "header",
        tag("p", run, class_="eyebrow"),
        tag("h1", verdict.capitalize(), class_=verdict),
        *_proof(document),
        *notes,
    )


def _proof(document: Document) -> Iterator[Html]:
    bad = said.bad(document)
    for finding in bad:
        yield tag("p", tag("strong", finding["checker"]), f": {said.counts(finding)}", class_="lead")
        first = next((row for anomaly in finding["anomalies"].values() for row in anomaly["told"]), None)
        if first is not None:
            yield tag("p", first["story"] or first["said"], class_="proof")
    if bad:
        return
    yield tag("p", said.judged(document), class_="lead")
    if document["faults"]:
        yield tag("p", f"{said.bitten(document['faults'])} faults met the system's own traffic.", class_="proof")


def _figures(document: Document) -> Html:
    figures, faults = document["figures"], document["faults"]
    shown = [
        ("operations", figures["operations"]),
        ("acknowledged", figures["acknowledged"]),
        ("refused", figures["refused"]),
        ("unknown", figures["unknown"]),
        ("under a fault", f"{figures['under_fault']:.0%}"),
        ("faults that bit", said.bitten(faults)),
        ("events", figures["events"]),
        ("effects", figures["effects"]),
        ("seconds recorded", f"{figures['duration']:.1f}"),
        *(
            (f"locust {name.replace('_', ' ')}", f"{value:g}")
            for name, value in (document.get("locust") or {}).items()
        ),
    ]
    each = [
        tag("div", tag("dt", name), tag("dd", f"{value:,}" if isinstance(value, int) else value))
        for name, value in shown
    ]
    return tag("dl", *each, class_="figures")


def _checks(findings: Sequence[Mapping[str, Any]]) -> Html:
    rows = [
        tag(
            "tr",
            tag("td", tag("span", finding["verdict"] or "left out", class_=f"badge {finding['verdict'] or ''}")),
            tag("td", finding["checker"]),
            tag("td", f"{finding['judged']:,} judged", class_="count"),
            tag(
                "td",
                ", ".join(f"{name} {anomaly['count']}" for name, anomaly in finding["anomalies"].items())
                or "nothing found",
            ),
        )
        for finding in findings
    ]
    return (
        tag("table", tag("tbody", *rows), class_="checks") if rows else tag("p", "No checker applies to this system.")
    )


def _faults(faults: Sequence[Mapping[str, Any]]) -> Iterator[Html]:
    if not faults:
        yield tag("p", "No fault was injected.")
    for fault in faults[:_FAULTS]:
        bit = "bit" in fault
        word = "bit" if bit else "never bit"
        steps = [
            f"{phase} {fault[phase]:.3f} s" for phase in ("injected", "armed", "bit", "healed") if phase in fault
        ]
        summary = tag(
            "summary",
            tag("span", word, class_=f"badge {'valid' if bit else 'unknown'}"),
            tag("span", fault["name"], class_="name"),
            tag("code", fault["target"] or ""),
            tag("span", ", ".join(steps), class_="brief"),
        )
        evidence = [_evidence(phase, proof) for phase, proof in fault["evidence"].items() if proof]
        error = tag("p", fault["error"], class_="note bad") if "error" in fault else None
        nothing = None if evidence else tag("p", "Nothing was recorded about it.")
        yield tag("details", summary, error, *evidence, nothing, class_="fault-told")
    if (more := len(faults) - _FAULTS) > 0:
        yield tag("p", f"… and {more} more, in verdict.json", class_="more")


def _tried(row: Mapping[str, Any]) -> Html:
    """A consumer's deliveries by where a death cut them off, and the answers that it never got."""
    rows = [
        tag(
            "tr",
            tag("td", f"died {STAGES[stage]}"),
            tag("td", f"{cell['deliveries']:,}", class_="count"),
            tag("td", details(cell)),
        )
        for stage, cell in row["cut"].items()
    ]
    lost = [
        tag("tr", tag("td", f"answer lost: {command}"), tag("td", f"{n:,}", class_="count"), tag("td", ""))
        for command, n in row["lost"].items()
    ]
    missing = ", ".join(untried(row))
    return join(
        tag("p", tag("strong", row["consumer"]), f" was never tried with: {missing}" if missing else ""),
        tag("table", tag("tbody", *rows, *lost), class_="checks") if rows or lost else None,
    )


def _evidence(phase: str, evidence: object) -> Html:
    proof = evidence if isinstance(evidence, Mapping) else {"what": evidence}
    rows = [
        tag("tr", tag("th", name), tag("td", tag("code", orjson.dumps(proof[name], default=str).decode())))
        for name in ("before", "after")
        if proof.get(name)
    ]
    return join(
        tag("p", tag("strong", phase), " ", str(proof.get("what") or ""), class_="said"),
        tag("table", tag("tbody", *rows), class_="evidence") if rows else None,
    )


def _again(document: Document, run: str) -> Html:
    versions = [tag("div", tag("dt", name), tag("dd", value)) for name, value in document["versions"].items()]
    return join(
        tag("p", tag("code", document["again"]), class_="command"),
        tag("p", tag("code", f"oneffect check {run}"), class_="command"),
        tag(
            "dl",
            *versions,
            tag("div", tag("dt", "plan"), tag("dd", str(document["plan_digest"])[:12])),
            class_="figures",
        ),
    )
