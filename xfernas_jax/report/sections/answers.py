"""What the network that was found says of the test images: right, wrong, and how sure."""

import functools

from xfernas_jax.evaluate.tested import Tested
from xfernas_jax.evaluate.trust import LIMITS, compared_words, trust_rows
from xfernas_jax.history.metric import ACCURACY
from xfernas_jax.report import answers
from xfernas_jax.report.section import Format, Listing, Picture, Section
from xfernas_jax.report.study import SearchStudy
from xfernas_jax.report.table import Table, Value

TITLE = "What the network says of the test images"
CONFUSED_TITLE = "Which classes it confuses"
_MOST_CONFUSED = 12


def section(study: SearchStudy) -> Section | None:
    """Draws right and wrong answers; None where they were not kept."""
    tested = study.tested
    if tested is None:
        return None
    names, metric = tested.class_names, study.metric
    pictures = []
    if len(names) <= answers.MOST_NAMED:
        confusion = confusion_table(tested)
        pictures.append(
            Picture(
                "confusion",
                "What each class is taken for",
                "A row is a class, a column what the network says. Bright fields on the diagonal "
                "are right; others are confusions. Numbers are images, colours their share of the "
                "row.",
                f"Matrix of {len(names)} classes by what the network says of their test images.",
                confusion,
                functools.partial(answers.draw_confusion, confusion, names),
            )
        )
    calibration = _calibration_table(tested)
    pictures.append(
        Picture(
            "calibration",
            "How sure and how right",
            "Dots below the dashed line are answers that the network is surer of than it should "
            "be; above it, it is right more often than it says.",
            "Points of how often the network is right against the probability that it gives.",
            calibration,
            functools.partial(answers.draw_calibration, calibration),
        )
    )
    if len(tested.mistakes):
        mistakes = _mistakes_table(tested)
        pictures.append(
            Picture(
                "mistakes",
                "The worst mistakes",
                "Test images that the network is most surely wrong about, as it saw them: what "
                "they are, what it says, and how sure it is. A wrong label shows here too.",
                f"{len(tested.mistakes)} pictures with their class and a wrong answer each.",
                mistakes,
                functools.partial(answers.draw_mistakes, mistakes, tested.images),
            )
        )
    result = study.result or {}
    part, value = result.get("test_part"), result.get("test_value")
    told = [f"{name.capitalize()}: {words}." for name, words in trust_rows(part).items()]
    warned = "" if value is None else compared_words(value, part, metric)
    note = " ".join([*told, warned, LIMITS]).replace("  ", " ")
    return Section(TITLE, tuple(pictures), note, _class_listing(tested))


def confused_section(study: SearchStudy) -> Section | None:
    """Lists how often each class is taken for each other one; None where there is no mistake."""
    tested = study.tested
    if tested is None:
        return None
    table = confusion_table(tested)
    wrong = [row for row in table.rows if row[0] != row[1]]
    if not wrong:
        return None
    top = Table(table.columns, tuple(wrong[:_MOST_CONFUSED]))
    picture = Picture(
        "confused",
        "The most frequent confusions",
        "How many test images of the first class are called the second.",
        f"Bars; the longest is {wrong[0][0]} as {wrong[0][1]}, {wrong[0][2]} images.",
        top,
        functools.partial(answers.draw_confused, top),
    )
    formats: dict[str, Format] = {"share_of_class": _percent}
    listing = Listing("confusions", CONFUSED_TITLE, table, formats)
    note = "All answers, counted: rows in which both names are equal are right."
    return Section(CONFUSED_TITLE, (picture,), note, listing)


def confusion_table(tested: Tested) -> Table:
    """Returns the fields of the confusion matrix that are not 0, the largest confusion first."""
    counts, names = tested.confusion, tested.class_names
    totals = counts.sum(axis=1)
    rows: list[tuple[Value, ...]] = [
        (names[i], names[j], int(counts[i, j]), float(100 * counts[i, j] / totals[i]))
        for i in range(len(names))
        for j in range(len(names))
        if counts[i, j]
    ]
    rows.sort(key=lambda row: (row[0] == row[1], -float(row[2] or 0)))
    return Table(("class", "predicted", "images", "share_of_class"), tuple(rows))


def _class_listing(tested: Tested) -> Listing:
    rows: list[tuple[Value, ...]] = []
    for each in tested.per_class():
        shares = (each.recall, each.precision, each.f1)
        shown = (None if share is None else 100 * share for share in shares)
        rows.append((each.name, each.num_images, *shown))
    table = Table(("class", "images", "found", "right_when_said", "F1"), tuple(rows))
    formats: dict[str, Format] = dict.fromkeys(("found", "right_when_said", "F1"), _percent)
    title = "Each class: share of its images that are found, share of its name that is right"
    return Listing("classes", title, table, formats, unknown="-")


def _percent(value: Value) -> str:
    return f"{value:.1f} {ACCURACY.unit}" if isinstance(value, float) else str(value)


def _calibration_table(tested: Tested) -> Table:
    rows = [(b.num_images, 100 * b.probability, 100 * b.accuracy) for b in tested.calibration()]
    return Table(("images", "probability", "right"), tuple(rows))


def _mistakes_table(tested: Tested) -> Table:
    names = tested.class_names
    rows = [
        (
            tested.name_of(i),
            names[int(tested.labels[i])],
            names[int(tested.predicted[i])],
            100 * float(tested.probability[i]),
        )
        for i in tested.mistakes.tolist()
    ]
    return Table(("image", "class", "predicted", "probability"), tuple(rows))
