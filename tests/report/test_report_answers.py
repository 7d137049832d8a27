"""What the page says of the test images: confusions, classes, mistakes, learning curves."""

import dataclasses
import pathlib

import numpy as np
import pytest
from report_cases import SPACE, finished_study, make_evaluation, make_result, study_of
from test_report_page import read

from xfernas_jax.evaluate.tested import Tested, from_logits
from xfernas_jax.report.answers import MOST_NAMED
from xfernas_jax.report.folder import write_report
from xfernas_jax.report.sections import answers, learning
from xfernas_jax.report.study import SearchStudy

NAMES = ("ant", "bee", "<b>cow</b>", "dog")


def make_tested(num_classes: int = 4, count: int = 200, names: tuple[str, ...] = NAMES) -> Tested:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, num_classes, count).astype(np.int32)
    logits = rng.normal(size=(count, num_classes)).astype(np.float32)
    logits[np.arange(count), labels] += 1.5
    tested = from_logits(logits, labels, names, tuple(f"p/{i}.png" for i in range(count)))
    rows = tested.worst(6)
    images = rng.integers(0, 256, (len(rows), 8, 8, 3), dtype=np.uint8)
    return dataclasses.replace(tested, mistakes=rows, images=images)


def study_with(tested: Tested | None = None) -> SearchStudy:
    tested = make_tested() if tested is None else tested
    part = {
        "num_images": len(tested),
        "low": 0.5,
        "high": 0.75,
        "majority_class": "ant",
        "majority_share": 0.25,
        "num_in_train": 2,
    }
    best = make_evaluation(6, 0.9)
    return finished_study(result=make_result(best, test_part=part), tested=tested)


def test_the_matrix_and_the_scores_are_those_of_the_predictions() -> None:
    tested = make_tested()
    table = answers.confusion_table(tested)
    found = {(row[0], row[1]): row[2] for row in table.rows}
    for i, label in enumerate(NAMES):
        for j, predicted in enumerate(NAMES):
            assert found.get((label, predicted), 0) == tested.confusion[i, j]
    wrong = [float(row[2] or 0) for row in table.rows if row[0] != row[1]]
    assert wrong == sorted(wrong, reverse=True)
    section = answers.section(study_with(tested))
    assert section is not None
    assert section.listing is not None
    recalls = section.listing.table.column("found")
    assert recalls == pytest.approx([100 * (c.recall or 0) for c in tested.per_class()])


@pytest.mark.slow
def test_the_page_shows_pictures_words_and_escaped_names(tmp_path: pathlib.Path) -> None:
    text = read(study_with()).text  # a tag in a name would be none of its text
    for words in (
        "200 images",
        '"ant" would be right for 25.00 %',
        "2 of the test images are training images too",
        "Another training of it may differ",
        "<b>cow</b>",
        "50.00 to 75.00 %",
    ):
        assert words in text, words
    folder = write_report(tmp_path / "r", study_with()).parent
    pictures = {file.stem for file in (folder / "figures").glob("*.png")}
    assert {"confusion", "calibration", "mistakes", "confused", "learning_curves"} <= pictures
    table = (folder / "data" / "mistakes.csv").read_text()
    assert table.count("\n") == 7
    assert "p/" in table


def test_many_classes_have_no_matrix_but_their_confusions() -> None:
    size = MOST_NAMED + 1
    tested = make_tested(size, 400, tuple(f"class {i}" for i in range(size)))
    section = answers.section(study_with(tested))
    confused = answers.confused_section(study_with(tested))
    assert section is not None
    assert confused is not None
    assert "confusion" not in [picture.name for picture in section.pictures]
    assert [picture.name for picture in confused.pictures] == ["confused"]


def test_a_network_without_mistakes_has_no_confusions() -> None:
    labels = np.arange(8, dtype=np.int32) % 2
    tested = from_logits(9 * np.eye(2, dtype=np.float32)[labels], labels, ("a", "b"))
    study = study_with(tested)
    assert answers.confused_section(study) is None
    section = answers.section(study)
    assert section is not None
    assert [picture.name for picture in section.pictures] == ["confusion", "calibration"]


def test_without_predictions_there_are_no_sections() -> None:
    study = finished_study()
    assert answers.section(study) is None
    assert answers.confused_section(study) is None


def test_learning_curves_are_of_the_finalists_trainings() -> None:
    final = make_evaluation(1, 0.875, purpose="final", curve=(0.5, 0.75, 0.875))
    found = learning.section(study_of(make_evaluation(0, 0.5), final))
    assert found is not None
    (picture,) = found.pictures
    assert picture.table.column("value") == [50.0, 75.0, 87.5]
    assert picture.table.column("epoch") == [1, 2, 3]
    assert learning.section(study_of(make_evaluation(0, 0.5))) is None
    genotype = SPACE.to_json(final.genotype)
    assert genotype["space"] == SPACE.name


def test_learning_curves_of_one_network_are_told_apart_by_seed() -> None:
    final = make_evaluation(1, 0.875, purpose="final", curve=(0.5, 0.875))
    other = dataclasses.replace(final, job=dataclasses.replace(final.job, number=2, seed=77))
    found = learning.section(study_of(make_evaluation(0, 0.5), final, other))
    assert found is not None
    names = list(dict.fromkeys(map(str, found.pictures[0].table.column("training"))))
    assert names[0].startswith(f"1: seed {final.seed}, ")
    assert names[1].startswith("2: seed 77, ")
