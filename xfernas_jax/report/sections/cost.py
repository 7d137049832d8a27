"""What the search cost, and what it learned from had cost."""

from xfernas_jax.report.cost import cost_table, source_counts
from xfernas_jax.report.section import Listing, Section, shown
from xfernas_jax.report.study import SearchStudy
from xfernas_jax.report.table import Value


def section(study: SearchStudy) -> Section:
    """Lists trainings, epochs and device seconds of each part."""
    listing = Listing(
        "cost", "Cost", cost_table(study), {"device_seconds": _seconds}, unknown="not known"
    )
    return Section("Cost", listing=listing, remark=_remark(study))


def _seconds(value: Value) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else shown(value)


def _remark(study: SearchStudy) -> str:
    notes = [
        f"Device seconds are wall time, compilation included, times {study.devices} "
        f"device{'s' if study.devices > 1 else ''} of each evaluation."
    ]
    if study.result is None:
        notes.append(
            "How many devices trained one is recorded at the end; 1 is assumed until then."
        )
    elif study.result["epochs_saved"]:
        notes.append(f"Early stopping saved {study.result['epochs_saved']} epochs.")
    else:
        notes.append("No epoch was saved by early stopping.")
    if source_counts(study.spec):
        notes.append(
            "Sources were paid for by earlier work and may serve many searches; their devices are "
            "not recorded, so they count as 1."
        )
    return " ".join(notes)
