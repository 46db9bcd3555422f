"""What a run has tried: where deaths cut deliveries off, how these came again, and which replies were lost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.history.cuts import Cut, cuts

if TYPE_CHECKING:
    from harness.history.reader import History

STAGES: Final = {
    "unclaimed": "before the claim",
    "claimed": "between claim and effect",
    "applied": "between effect and offset",
    "unseen": "at a point that no look tells",
}
"""How far a delivery had come when its replica died -> the words for it."""

AGAIN: Final = {"same": "the same replica", "other": "another replica", "none": "no replica"}

REDIS: Final = {"kept": "Redis as it was", "away": "Redis without an answer", "emptied": "Redis emptied"}

_TAPPED: Final = """
SELECT DISTINCT split_part(link, '#', 1) AS consumer FROM history
WHERE op = 'wire' AND split_part(link, '#', 1) IN (SELECT consumer FROM applies) ORDER BY ALL
"""

_LOST: Final = """
SELECT consumer, command, count(*) AS n FROM unheard SEMI JOIN applies USING (consumer) GROUP BY ALL ORDER BY ALL
"""

Row = Mapping[str, Any]
"""``consumer``; ``cut``: stage -> ``deliveries``, counts of ``again`` and of ``redis``; ``lost``: command -> count."""


def coverage(history: History) -> list[Row]:
    """Return a row for each consumer on whose links taps recorded something; none unless every link had one (``taps: all``).

    With taps on some links only, what came again elsewhere would go unseen.
    """
    plan = history.header.get("plan") or {}
    if "all" not in (plan.get("taps"), (plan.get("scenario") or {}).get("taps")):
        return []
    of: defaultdict[tuple[str, str], list[Cut]] = defaultdict(list)
    for cut in cuts(history):
        of[cut.consumer, cut.stage].append(cut)
    lost: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for row in history.sql(_LOST):
        lost[row["consumer"]][row["command"]] = row["n"]
    return [
        {
            "consumer": consumer,
            "cut": {
                stage: {
                    "deliveries": len(found),
                    "again": dict(sorted(Counter(cut.again or "none" for cut in found).items())),
                    "redis": dict(sorted(Counter(cut.redis for cut in found if cut.redis).items())),
                }
                for stage in STAGES
                if (found := of[consumer, stage])
            },
            "lost": lost[consumer],
        }
        for consumer in (row["consumer"] for row in history.sql(_TAPPED))
    ]


def added(tables: Iterable[Sequence[Row]]) -> list[Row]:
    """Return the sum of several runs' tables."""
    cut: defaultdict[str, defaultdict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    lost: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in (row for table in tables for row in table):
        lost[row["consumer"]].update(row["lost"])
        for stage, cell in row["cut"].items():
            cut[row["consumer"]][stage].append(cell)
    return [
        {
            "consumer": consumer,
            "cut": {
                stage: {
                    "deliveries": sum(cell["deliveries"] for cell in cells),
                    **{
                        part: dict(sum((Counter(cell[part]) for cell in cells), Counter()))
                        for part in ("again", "redis")
                    },
                }
                for stage, cells in cut[consumer].items()
            },
            "lost": dict(lost[consumer]),
        }
        for consumer in lost
    ]


def sentence(row: Row) -> str:
    """``shop: deaths cut off 4 deliveries between claim and effect (again at another replica 3, …); lost answers: …``."""
    parts = [
        f"{cell['deliveries']} {STAGES[stage]}" + (f" ({detail})" if (detail := details(cell)) else "")
        for stage, cell in row["cut"].items()
    ]
    cut = f"deaths cut off {', '.join(parts)}" if parts else "no death is known to have cut a delivery off"
    lost = ", ".join(f"{command} {n}" for command, n in row["lost"].items())
    return f"{row['consumer']}: {cut}" + (f"; answers lost: {lost}" if lost else "")


def details(cell: Mapping[str, Any]) -> str:
    """``again at another replica 3, at no replica 1; Redis as it was 4``: how the deliveries of a cell came again."""
    again = ", ".join(f"at {AGAIN[where]} {n}" for where, n in cell["again"].items())
    redis = ", ".join(f"{REDIS[how]} {n}" for how, n in cell["redis"].items())
    return "; ".join(filter(None, [f"again {again}" if again else "", redis]))


def untried(row: Row) -> list[str]:
    """Return what no run of a table has tried, in words."""
    missing = [words for stage, words in STAGES.items() if stage not in row["cut"] and stage != "unseen"]
    return [f"a death {words}" for words in missing] + ([] if row["lost"] else ["a lost answer"])
