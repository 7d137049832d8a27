"""How the network that a search hands over compares with known ones, in words."""

from collections.abc import Mapping
from typing import Any

from xfernas_jax.history.metric import Metric
from xfernas_jax.space.published import PUBLISHED


def reference_rows(result: Mapping[str, Any], metric: Metric) -> dict[str, str]:
    """Returns lines by their names; none where a search had no known networks.

    Args:
      result: of the search, checked.
      metric: of its values.
    """
    known = result["references"]
    if not known:
        return {}
    best = next((row["name"] for row in known if row["is_best"]), None)
    shown = "one that the search found" if best is None else best
    if best in PUBLISHED:
        shown += ", a known one"
    if not result["num_evaluations"]:
        shown += "; there was no time to compare it with others"
    rows = {"the network is": shown}
    for name, field in (("short", "value"), ("full", "final_value")):
        trained = [(row["name"], row[field]) for row in known if row[field] is not None]
        if trained:
            values = ", ".join(f"{name} {metric.text(value)}" for name, value in trained)
            rows[f"known networks, {name} trainings"] = values
    return rows
