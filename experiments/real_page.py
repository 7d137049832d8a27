"""What the outcomes of `real_tasks` say, as numbers and as a page."""

import collections
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments import statistics
from experiments.grid import Unit
from experiments.real_methods import FAMILIES, METHODS, OURS, SETS, known, seconds_of
from experiments.real_units import Facts, Outcome

BEST_KNOWN = "known_best"

_ROWS = {
    OURS: METHODS[OURS].words,
    BEST_KNOWN: "(a) best of the three known networks, by validation; three times our time",
    "plain_convnet": f"(b) {METHODS['plain_convnet'].words}",
    "plain_resnet8": f"(b) {METHODS['plain_resnet8'].words}",
    "random": f"(c) {METHODS['random'].words}",
    "nao": f"(c) {METHODS['nao'].words}",
    "autokeras": f"(d) {METHODS['autokeras'].words}",
    "tpe": f"(e) {METHODS['tpe'].words}",
    **{known(family): METHODS[known(family)].words for family in FAMILIES},
}
"""The methods of the page, in its order, with what they are."""


def with_best_known(outcomes: Mapping[Unit, Outcome]) -> dict[Unit, Outcome]:
    """Adds the best of the known networks where all of them were tried: it took all their time."""
    found = dict(outcomes)
    for unit in outcomes:
        if unit.optimizer != known(FAMILIES[0]):
            continue
        each = [
            outcomes.get(Unit(known(family), unit.target, unit.seed, unit.variant))
            for family in FAMILIES
        ]
        tried = [outcome for outcome in each if outcome is not None]
        counted = [outcome for outcome in tried if not outcome.failure]
        if len(tried) < len(FAMILIES) or not counted:
            continue
        best = max(counted, key=lambda o: -math.inf if o.valid is None else o.valid)
        seconds = sum(outcome.seconds for outcome in tried)
        best = Outcome(**{**vars(best), "seconds": seconds})
        found[Unit(BEST_KNOWN, unit.target, unit.seed, unit.variant)] = best
    return found


def summarize(outcomes: Mapping[Unit, Outcome], planned: Sequence[Unit]) -> dict[str, Any]:
    """Makes the content of `summary.json`.

    Args:
      outcomes: of the units that were done.
      planned: all units that are wanted.
    """
    counted = {
        unit: outcome
        for unit, outcome in with_best_known(outcomes).items()
        if not outcome.failure and unit.target in SETS and unit.optimizer in _ROWS
    }
    times = sorted({unit.variant for unit in counted}, key=seconds_of)
    missing = [unit.name for unit in planned if unit not in outcomes]
    return {
        "times": {time: _of_time(time, counted) for time in times},
        "planned": len(planned),
        "missing": missing,
        "failed": {
            unit.name: {"reason": outcome.failure, "file": _file(unit)}
            for unit, outcome in outcomes.items()
            if outcome.failure
        },
        "made": _made(outcomes),
    }


def _file(unit: Unit) -> str:
    return f"units/{unit.variant}/{unit.optimizer}/{unit.target}-{unit.seed}.json"


def _of_time(time: str, counted: Mapping[Unit, Outcome]) -> dict[str, Any]:
    sets: dict[str, Any] = {}
    for name in SETS:
        rows = {}
        ours = _by_seed(counted, OURS, name, time)
        for method in _ROWS:
            theirs = _by_seed(counted, method, name, time)
            if theirs:
                rows[method] = _row(theirs, {} if method == OURS else ours)
        if rows:
            sets[name] = rows
    return {
        "budget_seconds": seconds_of(time),
        "sets": sets,
        "mean_over_sets": {
            method: mean
            for method in _ROWS
            if method != OURS and (mean := _mean_over_sets(sets, method))
        },
    }


def _by_seed(
    counted: Mapping[Unit, Outcome], method: str, name: str, time: str
) -> dict[int, Outcome]:
    found = {
        unit.seed: outcome
        for unit, outcome in counted.items()
        if (unit.optimizer, unit.target, unit.variant) == (method, name, time)
    }
    return dict(sorted(found.items()))


def _row(theirs: Mapping[int, Outcome], ours: Mapping[int, Outcome]) -> dict[str, Any]:
    """Returns the numbers of a method on a set."""
    tests = np.array([outcome.test for outcome in theirs.values()], float)
    networks = collections.Counter(outcome.network for outcome in theirs.values())
    seeds = [seed for seed in ours if seed in theirs]
    return {
        "seeds": list(theirs),
        "tests": tests.tolist(),
        "mean": float(tests.mean()),
        "deviation": _number(tests.std(ddof=1) if len(tests) > 1 else math.nan),
        "seconds": float(np.mean([outcome.seconds for outcome in theirs.values()])),
        "most_seconds": max(outcome.seconds for outcome in theirs.values()),
        "networks": dict(networks.most_common()),
        "sources": sorted({name for o in theirs.values() for name in o.details.get("sources", ())}),
        "num_evaluations": [o.details.get("num_evaluations") for o in theirs.values()],
        "ours_minus": _difference(
            [(ours[seed].test or 0.0, theirs[seed].test or 0.0) for seed in seeds]
        ),
    }


def _difference(pairs: Sequence[tuple[float, float]]) -> dict[str, Any] | None:
    """Returns the mean of ours - theirs with its interval; None without pairs."""
    if not pairs:
        return None
    ours, theirs = np.array(pairs).T
    found = statistics.paired(ours, theirs)
    return {
        "pairs": len(pairs),
        "ours": float(ours.mean()),
        "theirs": float(theirs.mean()),
        "difference": found.difference,
        "ci95": [_number(found.low), _number(found.high)],
    }


def _mean_over_sets(sets: Mapping[str, Any], method: str) -> dict[str, Any] | None:
    """Returns the same over the sets that have pairs: a set counts once, by its mean pair."""
    rows = {name: rows[method] for name, rows in sets.items() if method in rows}
    pairs = {name: row["ours_minus"] for name, row in rows.items() if row["ours_minus"]}
    found = _difference([(its["ours"], its["theirs"]) for its in pairs.values()])
    if found is None:
        return None
    ahead = [name for name, its in pairs.items() if its["difference"] > 0.0]
    return {"sets": list(pairs), "ahead": ahead, **found}


def _made(outcomes: Mapping[Unit, Outcome]) -> dict[str, list[str]]:
    """Returns the commits, machines, versions and days of all units, each once."""
    found: dict[str, dict[str, None]] = {}
    for outcome in outcomes.values():
        made = outcome.made
        versions = " ".join(f"{name} {version}" for name, version in made["versions"].items())
        for key, value in {**made, "versions": versions}.items():
            if key != "command":
                found.setdefault(key, {})[value] = None
    return {key: sorted(values) for key, values in found.items()}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def page(
    summary: Mapping[str, Any], facts: Mapping[str, Facts], command: str, notes: Sequence[str]
) -> str:
    """Returns the page.

    Args:
      summary: what `summarize` gave.
      facts: of the sets, by name.
      command: that made it.
      notes: more lines for its head.
    """
    made = summary["made"]
    done = summary["planned"] - len(summary["missing"])
    state = f"**{len(summary['missing'])} missing**" if summary["missing"] else "complete"
    lines = [
        "# Real image sets: ours beside what one would write by hand",
        "",
        "Test accuracy in percent, read once by each run; validation images choose. Every method",
        "has the same images, the same split and the same minutes of all cores, one run at a time,",
        "and starts from an empty folder. `+-` is the standard deviation over seeds; a difference",
        "is that of runs of the same seed, with a 95 % interval by Student's t where there are two",
        "pairs or more; intervals are not corrected for how many there are. Seconds are those of",
        "the whole process, with its start and the reading of the data.",
        "",
        f"`{command}`: {done} of {summary['planned']} runs, {state}.",
        *(f"{key.capitalize()}: {'; '.join(values)}." for key, values in made.items()),
        *notes,
        "",
        *_facts(facts),
    ]
    for time, content in summary["times"].items():
        lines += ["", f"## {time}", "", *_means(content)]
        for name, rows in content["sets"].items():
            lines += ["", f"### {name}, {time}", "", *_table(rows, content["budget_seconds"])]
            lines += _learned(rows)
    return "\n".join([*lines, *_failed(summary), *_missing(summary)]).rstrip() + "\n"


def _facts(facts: Mapping[str, Facts]) -> list[str]:
    lines = []
    for name in (name for name in SETS if name in facts):
        its = facts[name]
        counts = " + ".join(f"{its.num_images[part]:,}" for part in ("train", "valid", "test"))
        copies = f"; {its.num_copies} test images are training or validation images too"
        lines.append(
            f"- `{name}`: {counts} images to train, validate and test, {its.num_classes} classes, "
            f"{'x'.join(map(str, its.shape))}; {its.split}{copies if its.num_copies else ''}."
        )
    return lines


def _means(content: Mapping[str, Any]) -> list[str]:
    """Returns the table of means over sets."""
    means = content["mean_over_sets"]
    if not means:
        return ["No set has runs of ours and of a rival with one seed yet."]
    lines = [
        "Mean over the sets that have both, each counted once; the interval is over sets.",
        "",
        "| rival | sets | ours | rival | ours - rival | ours is ahead on |",
        "|---|---|---|---|---|---|",
    ]
    for method, its in means.items():
        cells = [
            _ROWS[method],
            str(len(its["sets"])),
            _percent(its["ours"]),
            _percent(its["theirs"]),
            _interval(its),
            f"{len(its['ahead'])} of {len(its['sets'])}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _table(rows: Mapping[str, Any], budget: float) -> list[str]:
    lines = [
        "| method | test | seeds | ours - this | seconds | network |",
        "|---|---|---|---|---|---|",
    ]
    for method, row in rows.items():
        spread = "" if row["deviation"] is None else f" +- {_percent(row['deviation'])}"
        networks = ", ".join(
            f"{name} x {count}" if count > 1 else name for name, count in row["networks"].items()
        )
        found = row["ours_minus"]
        pairs = f", {found['pairs']} pair{'s' * (found['pairs'] > 1)}" if found else ""
        cells = [
            _ROWS[method],
            f"{_percent(row['mean'])}{spread}",
            str(len(row["seeds"])),
            f"{_interval(found)}{pairs}" if found else "",
            f"{row['seconds']:.0f} (longest {row['most_seconds']:.0f}) of {budget:.0f}",
            networks,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _learned(rows: Mapping[str, Any]) -> list[str]:
    """Says what ours learned from, and how many networks it compared."""
    if OURS not in rows:
        return []
    sources, counts = rows[OURS]["sources"], rows[OURS]["num_evaluations"]
    compared = ", ".join(map(str, counts))
    learned = ", ".join(f"`{name}`" for name in sources) or "no other task"
    return ["", f"Ours compared {compared} networks before the last training; sources: {learned}."]


def _failed(summary: Mapping[str, Any]) -> list[str]:
    failed = summary["failed"]
    if not failed:
        return []
    lines = ["", "## Runs that do not count", ""]
    lines += [f"- {name}: {its['reason']}" for name, its in failed.items()]
    example = next(iter(failed.values()))["file"]
    return [*lines, "", f"To try one again, delete its file, such as `{example}`."]


def _missing(summary: Mapping[str, Any]) -> list[str]:
    groups: dict[str, list[str]] = {}
    for name in summary["missing"]:
        time, method, target, seed = name.split("/")
        groups.setdefault(f"{time}, {method}, seed {seed}", []).append(target)
    if not groups:
        return []
    lines = [
        f"- {name}: {'all sets' if len(targets) == len(SETS) else ', '.join(targets)}"
        for name, targets in groups.items()
    ]
    return ["", "## Missing yet", "", *lines]


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _interval(found: Mapping[str, Any]) -> str:
    low, high = found["ci95"]
    shown = f"{100 * found['difference']:+.2f}"
    return shown if low is None else f"{shown} ({100 * low:+.2f} to {100 * high:+.2f})"
