"""Two checkouts' figures stand side by side."""

from pathlib import Path

from benchmarks.consumer import KINDS, Checkout, show


def checkout(name: str, everything: list[float], without: list[float]) -> Checkout:
    made = Checkout(name, Path(), "python")
    for kind, rates in zip(KINDS, (everything, without, without), strict=True):
        made.figures[f"events a second, {kind}"] = rates
    return made


def test_a_ratio_is_of_the_same_round(capsys):
    # A slow round is slow for both; medians of the columns alone would say 150 to 100.
    show([checkout("here", [20, 200, 150], [20, 200, 300]), checkout("base", [10, 100, 300], [10, 100, 300])])
    heading, everything, *_ = capsys.readouterr().out.splitlines()
    assert heading.split()[-2:] == ["here", "base"]
    assert everything.split(KINDS[0])[1].split() == ["150", "(20", "to", "200)", "100", "(10", "to", "300)", "2.00"]


def test_what_deduplication_costs_is_told_of_each(capsys):
    show([checkout("here", [90, 90], [100, 100]), checkout("base", [50, 50], [100, 100])])
    lines = capsys.readouterr().out.splitlines()
    (row,) = (line for line in lines if line.startswith(f"of no deduplication, {KINDS[0]}"))
    assert row.split(KINDS[0])[1].split()[0] == "0.9"


def test_one_checkout_has_no_ratio(capsys):
    show([checkout("here", [1], [1])])
    assert capsys.readouterr().out.splitlines()[1].split(KINDS[0])[1].split() == ["1", "(1", "to", "1)"]
