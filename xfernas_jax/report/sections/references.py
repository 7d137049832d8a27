"""Known networks beside the one that was found."""

from xfernas_jax.report.noise import Noise, noise_of
from xfernas_jax.report.section import Format, Listing, Section, value_format
from xfernas_jax.report.study import SearchStudy
from xfernas_jax.report.table import Table, Value

TITLE = "Beside known networks"


def section(study: SearchStudy) -> Section | None:
    """Lists the values of known networks and of the result; None where none was trained."""
    result = study.result
    every = (result or {}).get("references") or []
    known = [row for row in every if row["value"] is not None or row["final_value"] is not None]
    if result is None or not known:
        return None
    winner = study.space.key(study.space.from_json(result["best_genotype"]))
    short = next((e.value for e in study.searched if e.key == winner), None)
    rows: list[tuple[Value, ...]] = []
    fulls: list[float | None] = []
    if not any(row["is_best"] for row in known):
        rows.append(_row(study, "found by the search", short, result["best_value"]))
        fulls.append(result["best_value"])
    for row in known:
        name = f"{row['name']}, handed over" if row["is_best"] else row["name"]
        rows.append(_row(study, name, row["value"], row["final_value"]))
        fulls.append(row["final_value"])
    noise = noise_of(study)
    has_noise = bool(noise.words())
    columns = ("network", "short training", "full training")
    if has_noise:
        rows = [
            (*row, _interval_text(study, noise, full))
            for row, full in zip(rows, fulls, strict=True)
        ]
        columns += ("95 % of the full one",)
    table = Table(columns, tuple(rows))
    formats: dict[str, Format] = dict.fromkeys(columns[1:3], value_format(study.metric))
    note = (
        "The same recipe trained networks that everybody knows. A short training compares many "
        "networks, a full one makes what is handed over. Values are "
        f"{study.value_label}, of one training each: small differences may be chance."
    )
    if study.member_values:
        note += f" What was handed over is the mean of {len(study.member_values)} full trainings."
    if has_noise:
        note += f" The last column is the 95 % interval of {noise.words()}."
    listing = Listing("references", TITLE, table, formats, unknown="not trained")
    return Section(TITLE, note=note, listing=listing)


def _interval_text(study: SearchStudy, noise: Noise, value: float | None) -> str | None:
    ends = None if value is None else noise.interval(value)
    if ends is None:
        return None
    low, high = map(value_format(study.metric), map(study.shown, ends))
    return f"{low} to {high}"


def _row(
    study: SearchStudy, name: str, short: float | None, full: float | None
) -> tuple[Value, ...]:
    return (name, *(None if value is None else study.shown(value) for value in (short, full)))
