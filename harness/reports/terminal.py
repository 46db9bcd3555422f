"""A judged run on the terminal: the first lines say which, where and when, and how to go on."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any, Final, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.reports import said
from harness.reports.coverage import sentence
from harness.reports.moment import seconds
from harness.reports.story import Story
from harness.reports.untrusted import shown

if TYPE_CHECKING:
    from pathlib import Path

    from harness.reports.document import Document

_UNBROKEN: Final = 1000
"""Columns of a file or pipe, which has none of its own."""

STYLES: Final = {"valid": "bold green", "unknown": "bold yellow", "invalid": "bold red"}


def console(file: TextIO | None = None, *, stderr: bool = False) -> Console:
    """Make a console that interprets no markup, highlights nothing, and breaks no line of a file or pipe."""
    made = Console(file=file, stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = _UNBROKEN
    return made


def report(document: Document, directory: Path, took: str = "") -> Iterator[Text]:
    """Yield the lines of a judged run: verdict, anomalies, faults, figures and the run directory.

    ``took`` says how long the command took: the history ends before the run is judged, and cannot tell.
    """
    yield from _found(document, directory, None)
    yield from _unexpected(document)
    yield from _warnings(document)
    yield from _faults(document["faults"])
    for row in document.get("coverage", []):
        yield _line(f"  tried at {sentence(row)}")
    for words in said.left_out(document):
        yield _line(f"  left out: {words}", "yellow")
    yield _figures(document["figures"], took)
    if users := document.get("locust"):
        yield _line(
            f"  locust: {', '.join(f'{value:g} {name}' for name, value in users.items())} (from when each was due)",
            "dim",
        )
    yield _line(f"  run: {directory}    again: {document['again']}", "dim")


def tell(lines: Iterable[Text]) -> None:
    """Print lines."""
    printer = console()
    for line in lines:
        printer.print(line)


def stories(document: Document, directory: Path) -> Iterator[Text]:
    """Yield the first lines alone, with one story of each anomaly."""
    yield from _found(document, directory, 1)


def text(document: Document, directory: Path, took: str = "") -> str:
    """Return the report without colours, for pytest."""
    out = StringIO()
    plain = console(out)
    for line in report(document, directory, took):
        plain.print(line)
    return out.getvalue()


def story(told: Story) -> Iterator[Text]:
    """Yield the lines of a story, oldest first."""
    yield _line(f"{told.kind} {told.id}", "bold")
    if not told.moments:
        yield _line("  nothing was recorded about it")
    width = max((len(shown(moment.who)) for moment in told.moments), default=0)
    for moment in told.moments:
        yield _line(f"  {seconds(moment.t):>12}  {shown(moment.who):<{width}}  {moment.text}")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Make a table of untrusted cells; a verdict's cell has its colour."""
    made = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False, expand=False
    )
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(shown(cell), style=STYLES.get(str(cell).partition(" ")[0], "")) for cell in row))
    return made


def _found(document: Document, directory: Path, most: int | None) -> Iterator[Text]:
    head = f"{said.label(document)}  seed {document['seed']}"
    bad = said.bad(document)
    for finding in bad:
        yield _verdict(finding["verdict"], head, f"{finding['checker']}: {said.counts(finding)}")
        for name, anomaly in finding["anomalies"].items():
            yield from _evidence(name, anomaly, most)
            if named := [row for row in anomaly["told"] if "id" in row]:
                show = shlex.join(
                    ["oneffect", "show", said.run(directory), f"--{named[0]['kind']}", named[0]["short"]]
                )
                yield _line(f"  story: {show}    again: {document['again']}", "cyan")
    if not bad:
        yield _verdict(document["verdict"], head, said.judged(document))


def _evidence(name: str, anomaly: Mapping[str, Any], most: int | None) -> Iterator[Text]:
    rows = anomaly["told"][:most]
    for row in rows:
        if row["story"]:
            yield _line(f"  {name}  {row['story']}")
        if row["said"]:
            yield _line(
                f"  {' ' * len(name) if row['story'] else name}  {row['said']}", "dim" if row["story"] else ""
            )
    if most is None and (more := anomaly["count"] - len(rows)) > 0:
        yield _line(f"  … and {more} more, in verdict.json", "dim")


def _unexpected(document: Document) -> Iterator[Text]:
    if not document.get("scenario", True):
        pass  # a run in steps: whoever asked for the verdict says what it should be
    elif not document["as_expected"]:
        yield _line(f"  not as expected: the scenario expects {said.expected(document)}", "bold red")
    elif document["verdict"] != "valid":
        yield _line(f"  as expected: {said.expected(document)}", "green")
    if not document["complete"]:
        yield _line("  the history ends before the run did", "yellow")


def _warnings(document: Document) -> Iterator[Text]:
    for finding in document["findings"]:
        for name, warning in finding["warnings"].items():
            yield _line(
                f"  warning: {finding['checker']}: {name} {warning['count']}: {warning['told'][0]['said']}", "yellow"
            )


def _faults(faults: Sequence[Mapping[str, Any]]) -> Iterator[Text]:
    for fault in faults:
        bit = fault.get("bit")
        what = _what(fault["evidence"].get("bit"), str(fault["target"]))
        status = (
            f"bit {bit:.3f} s{what}" if bit is not None else "never bit" + (", armed" if "armed" in fault else "")
        )
        if "error" in fault:
            status += f" ({fault['error']})"
        healed = f", healed {fault['healed']:.3f} s" if "healed" in fault else ""
        injected = f"injected {fault['injected']:.3f} s, {_by_clock(fault)}" if "injected" in fault else ""
        yield _line(
            f"  {fault['name']} {fault['target'] or ''}: {injected}{status}{healed}",
            "" if bit is not None else "yellow",
        )


def _by_clock(fault: Mapping[str, Any]) -> str:
    why = (fault["evidence"].get("injected") or {}).get("by_clock")
    return f"by the clock since no message came ({why}), " if why else ""


def _what(evidence: object, target: str) -> str:
    what = str(evidence.get("what") or "") if isinstance(evidence, Mapping) else ""
    return f" ({what.removeprefix(f'{target}: ')})" if what else ""


def in_all(seconds_: float) -> str:
    """Say how long a run took, until it was judged and its reports were written."""
    return f"{seconds_:.1f} s in all"


def _figures(figures: Mapping[str, Any], took: str) -> Text:
    share = f", {figures['under_fault']:.0%} of them under a fault" if figures["under_fault"] else ""
    return _line(
        f"  {figures['operations']} operations ({figures['acknowledged']} acknowledged, "
        f"{figures['refused']} refused, {figures['unknown']} unknown){share}; "
        f"{figures['events']} events in {figures['records']} records, {figures['effects']} effects; "
        f"{figures['duration']:.1f} s recorded{f', {took}' if took else ''}",
        "dim",
    )


def _verdict(verdict: str, head: str, what: str) -> Text:
    return Text.assemble((verdict.upper(), STYLES.get(verdict, "bold")), "  ", shown(head), "  ", shown(what))


def _line(words: str, style: str = "") -> Text:
    return Text(shown(words), style=style)
