"""Progress: a live line on a terminal, plain lines elsewhere."""

import io

from rich.console import Console

from harness.reports.progress import Board


def board(*, terminal: bool) -> tuple[Board, io.StringIO]:
    out = io.StringIO()
    ticks = iter(range(100))
    printer = Console(file=out, force_terminal=terminal, markup=False, highlight=False, width=80)
    return Board(printer, lambda: float(next(ticks))), out


def test_plain_lines_where_there_is_no_terminal() -> None:
    made, out = board(terminal=False)
    with made:
        line = made.line("redis-outage")
        line.step("load")
        line.note("net.hang on \x1b[31m")
        line.passing("not worth a line")
        line.done()
        made.say("done")
    assert out.getvalue().splitlines() == [
        "   1.0 s  redis-outage: load",
        r"   2.0 s  redis-outage: net.hang on \x1b[31m",
        "done",
    ]


def test_something_else_is_printed_while_no_line_lives() -> None:
    for terminal in (True, False):
        made, out = board(terminal=terminal)
        with made:
            made.line("one").step("load")
            with made.aside():
                out.write("\nreport\n")
        assert "report" in out.getvalue().replace("\r", "\n").split("\n")


def test_a_live_line_on_a_terminal() -> None:
    made, out = board(terminal=True)
    with made:
        line = made.line("redis-outage")
        line.step("load [bold]")
        line.note("net.hang")
    assert "redis-outage: load [bold]; net.hang" in out.getvalue()
