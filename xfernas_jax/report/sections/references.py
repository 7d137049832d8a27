"""Known networks beside the one that was found."""

from xfernas_jax.report.section import Format, Listing, Section, value_format
from xfernas_jax.report.study import SearchStudy
from xfernas_jax.report.table import Table, Value

TITLE = "Beside known networks"


def section(study: SearchStudy) -> Section | None:
    """Lists the values of known networks and of the result; None where none was trained."""
    result = study.result
    known = (result or {}).get("references")
    if result is None or not known:
        return None
    winner = study.space.key(study.space.from_json(result["best_genotype"]))
    short = next((e.value for e in study.searched if e.key == winner), None)
    rows: list[tuple[Value, ...]] = []
    if not any(row["is_best"] for row in known):
        rows.append(_row(study, "found by the search", short, result["best_value"]))
    for row in known:
        name = f"{row['name']}, handed over" if row["is_best"] else row["name"]
        rows.append(_row(study, name, row["value"], row["final_value"]))
    table = Table(("network", "short training", "full training"), tuple(rows))
    formats: dict[str, Format] = dict.fromkeys(table.columns[1:], value_format(study.metric))
    note = (
        "The same recipe trained networks that everybody knows. A short training compares many "
        "networks, a full one makes what is handed over. Values are "
        f"{study.value_label}, of one training each: small differences may be chance."
    )
    listing = Listing("references", TITLE, table, formats, unknown="not trained")
    return Section(TITLE, note=note, listing=listing)


def _row(
    study: SearchStudy, name: str, short: float | None, full: float | None
) -> tuple[Value, ...]:
    return (name, *(None if value is None else study.shown(value) for value in (short, full)))
