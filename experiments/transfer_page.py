"""The page of `transfer_benchmark`: what was reached, the differences, and what can be seen."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments import statistics
from experiments.transfer_cases import KINDS, RIGHT, Case
from experiments.transfer_measures import LOG_MARGIN, MEASURES, Reached, against

_LATER = (20, 50, 100)
"""At which searches with wrong sources, and single targets, are compared."""


def alone_folder(table: str) -> str:
    """Returns where the searches of a table without sources lie."""
    return f"{table}/alone"


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """What is there of a case; None where searches are missing.

    Attributes:
      case: see there.
      rows: of the table.
      random: random search.
      ours: of each optimizer with sources.
      twins: of each of these, its twin without.
    """

    case: Case
    rows: int
    random: Reached | None
    ours: Mapping[str, Reached | None]
    twins: Mapping[str, Reached | None]

    def pairs(self) -> Iterator[tuple[str, Reached, Reached]]:
        """Yields name, ours and its twin, where both are there."""
        for name, mine in self.ours.items():
            its = self.twins[name]
            if mine is not None and its is not None:
                yield name, mine, its


def summary(found: Sequence[Found]) -> list[dict[str, Any]]:
    """Returns the content of `summary.json`."""
    rows = []
    for each in found:
        for name, mine, its in each.pairs():
            at = mine.checkpoints
            rows.append(
                {
                    "case": each.case.name,
                    "sources": each.case.kind,
                    "optimizer": name,
                    "targets": list(mine.targets),
                    "draws": mine.values["log2"].shape[1],
                    "ours": {m: {c: float(mine.at(m, c).mean()) for c in at} for m in MEASURES},
                    "twin": {m: {c: float(its.at(m, c).mean()) for c in at} for m in MEASURES},
                    "difference": {c: _compared(mine, its, c, None) for c in at},
                    "by_target": {
                        t: {c: _compared(mine, its, c, t) for c in at} for t in mine.targets
                    },
                }
            )
    return rows


def _compared(mine: Reached, its: Reached, evaluations: int, target: str | None) -> dict[str, Any]:
    result = against(mine, its, evaluations, target)
    shown: dict[str, Any] = {"margin": result.margin, "no_worse": result.no_worse}
    for name in ("percentile", "log2"):
        value: statistics.Stratified = getattr(result, name)
        shown[name] = [None if math.isnan(x) else x for x in dataclasses.astuple(value)]
    return shown


def page(found: Sequence[Found], command: str, draws: str, commits: Sequence[str]) -> str:
    """Returns the text of the page."""
    lines = [
        "# Transfer from tables",
        "",
        f"`{command}`, commit {', '.join(commits)}. Each task in turn is the target; {draws} for "
        "each. Percentile: percent of the table that is better than the best so far, mean over "
        "targets and searches; log2 of it plus one row; regret in units of the median's. "
        "Differences are ours less the twin without sources, with 95 % intervals over draws "
        "(Student's t; the targets are those that there are). *No worse*: the interval lies below "
        f"{statistics.MARGIN:.0%} of the twin's percentile, or below {LOG_MARGIN} in log2; `-` "
        "where it is not shown. Intervals are not corrected for how many there are.",
    ]
    for each in found:
        if each.case.kind == RIGHT:
            wrong = [its for its in found if its.case.kind != RIGHT]
            lines += _of_case(each, [w for w in wrong if w.case.name == each.case.name])
    lines += ["", "## What these searches can show", "", *power(found)]
    missing = [f"{each.case.folder}" for each in found if not list(each.pairs())]
    if missing:
        lines += ["", "## Missing yet", "", ", ".join(missing)]
    return "\n".join(lines) + "\n"


def _of_case(each: Found, wrong: Sequence[Found]) -> list[str]:
    pairs = list(each.pairs())
    if not pairs:
        return []
    checkpoints = pairs[0][1].checkpoints
    lines = [
        "",
        f"## {each.case.name}",
        "",
        f"{len(pairs[0][1].targets)} tasks, {each.rows:,} rows",
    ]
    lines += ["", *_header(["", "", *map(str, checkpoints)])]
    known = [] if each.random is None else [("random", each.random)]
    for name, mine, its in pairs:
        known += [(name, mine), (f"{name} without sources", its)]
    for measure in MEASURES:
        for name, its in known:
            shown = [_number(float(its.at(measure, c).mean())) for c in checkpoints]
            lines.append(_row([measure, name, *shown]))
    for name, mine, its in pairs:
        means = [float(mine.at("percentile", c).mean()) for c in checkpoints]
        for rival, what in ((its, "its twin"), (each.random, "random search")):
            if rival is not None:
                counts = [rival.evaluations_to_reach(mean) for mean in means]
                most = rival.values["percentile"].shape[2]
                shown = [str(count) if count else f"> {most}" for count in counts]
                lines.append(_row(["to match", f"{name}: evaluations of {what}", *shown]))
    lines += ["", *_differences(each, wrong, checkpoints)]
    lines += ["", *_by_target(each)]
    return lines


def _differences(each: Found, wrong: Sequence[Found], checkpoints: Sequence[int]) -> list[str]:
    lines = _header(["less its twin", "sources", *map(str, checkpoints)])
    for its in (each, *wrong):
        for name, mine, twin in its.pairs():
            for measure in ("percentile", "log2"):
                cells = [_difference(mine, twin, c, None, measure) for c in checkpoints]
                lines.append(_row([f"{name}, {measure}", KINDS[its.case.kind][0], *cells]))
            marks = [_mark(mine, twin, c, None) for c in checkpoints]
            lines.append(_row([f"{name}, no worse", KINDS[its.case.kind][0], *marks]))
    return lines


def _by_target(each: Found) -> list[str]:
    """Returns the differences in log2 on every target, as measured sources only."""
    lines = []
    for name, mine, its in each.pairs():
        at = [c for c in _LATER if c in mine.checkpoints]
        lines += _header([f"{name}, log2 less its twin", *map(str, at)])
        for target in mine.targets:
            cells = [
                f"{_difference(mine, its, c, target, 'log2')} {_mark(mine, its, c, target)}"
                for c in at
            ]
            lines.append(_row([target, *cells]))
    return lines


def power(found: Sequence[Found]) -> list[str]:
    """Returns a table of the smallest differences that are seen in 80 of 100 such measurements."""
    lines = _header(
        [
            "case",
            "optimizer",
            "evaluations",
            "draws",
            "percentile",
            "of the twin's",
            "log2",
            f"draws to see {statistics.MARGIN:.0%} of the twin's",
        ]
    )
    for each in found:
        for name, mine, its in each.pairs():
            if each.case.kind != RIGHT:
                continue
            for c in (c for c in (10, *_LATER) if c in mine.checkpoints):
                seen = against(mine, its, c)
                twin, draws = float(its.at("percentile", c).mean()), mine.values["log2"].shape[1]
                visible = seen.percentile.visible
                share = visible / twin if twin > 0.0 else math.nan
                needed = draws * (share / statistics.MARGIN) ** 2
                lines.append(
                    _row(
                        [
                            each.case.name,
                            name,
                            str(c),
                            str(draws),
                            _number(visible),
                            "-" if math.isnan(share) else f"{share:.0%}",
                            _number(seen.log2.visible),
                            "-" if math.isnan(needed) else str(math.ceil(needed)),
                        ]
                    )
                )
    return lines


def _difference(
    mine: Reached, its: Reached, evaluations: int, target: str | None, measure: str
) -> str:
    value: statistics.Stratified = getattr(against(mine, its, evaluations, target), measure)
    if math.isnan(value.high):
        return _number(value.mean)
    return f"{_number(value.mean)} ({_number(value.low)} to {_number(value.high)})"


def _mark(mine: Reached, its: Reached, evaluations: int, target: str | None) -> str:
    found = against(mine, its, evaluations, target).no_worse
    return "?" if found is None else "yes" if found else "-"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def _header(names: Sequence[str]) -> list[str]:
    return [_row(names), "|" + "---|" * len(names)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
