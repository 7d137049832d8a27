"""Reports of searches that ended in a final training by another recipe."""

import dataclasses

from report_cases import SPACE, make_evaluation, study_of
from test_report_page import read

from xfernas_jax.report.cost import cost_table
from xfernas_jax.report.sections import references
from xfernas_jax.report.sections.architectures import section

SEARCHED = (make_evaluation(0, 0.5), make_evaluation(1, 0.25))
FINAL = make_evaluation(1, 0.875, purpose="final", seconds=4.0)
FAILED = make_evaluation(0, None, purpose="final")
RESULT = {"best_genotype": SPACE.to_json(FINAL.genotype)}


def test_final_trainings_are_the_finalists_and_no_step_of_the_curve() -> None:
    study = study_of(*SEARCHED, FINAL, FAILED)
    assert study.searched == SEARCHED
    assert study.confirmations == (FINAL, FAILED)
    assert [step.value for step in study.incumbent()] == [0.5, 0.5]
    assert study.confirmed(FINAL.key) == [0.875]
    assert study.round_of(FINAL) is None


def test_final_trainings_have_a_row_of_costs() -> None:
    rows = {row[0]: row[1:] for row in cost_table(study_of(*SEARCHED, FINAL)).rows}
    assert rows["final training"] == (1, 2, 4.0)
    assert rows["this study together"] == (3, 6, 7.0)


def test_a_page_says_that_finalists_were_trained_by_the_final_recipe() -> None:
    text = read(study_of(*SEARCHED, FINAL, FAILED)).text
    assert "Each was trained by the final recipe." in text


def test_a_page_shows_the_final_recipe_beside_that_of_the_search() -> None:
    study = study_of(*SEARCHED, FINAL)
    recipes = {"recipe": {"data": {"image_size": 32}}, "final_recipe": {"data": {"image_size": 48}}}
    config = {**study.spec.config, **recipes}
    study = dataclasses.replace(study, spec=dataclasses.replace(study.spec, config=config))
    text = read(study).text
    assert "image_size 32" in text
    assert "final data" in text
    assert "image_size 48" in text


def test_an_architecture_has_its_value_in_the_search_and_by_the_final_recipe() -> None:
    found = section(study_of(*SEARCHED, FINAL, result=RESULT))
    texts = " ".join([found.note, *(picture.caption for picture in found.pictures)])
    assert "25.00 % in the search, 87.50 % by the final recipe" in texts


def test_a_search_of_one_final_training_alone_has_a_page() -> None:
    assert study_of(FINAL, result=RESULT).best(3) == [FINAL]
    assert "This search is not finished" in read(study_of(FINAL)).text


def test_known_networks_stand_beside_what_was_found() -> None:
    known = [
        {"name": "vgg_small", "value": 0.5, "final_value": 0.75, "is_best": False},
        {"name": "resnet8", "value": None, "final_value": None, "is_best": False},
    ]
    result = {**RESULT, "best_value": 0.875, "references": known}
    found = references.section(study_of(*SEARCHED, FINAL, result=result))
    assert found is not None
    assert found.listing is not None
    assert found.listing.table.rows == (
        ("found by the search", 25.0, 87.5),
        ("vgg_small", 50.0, 75.0),
    )  # what was not trained has no line
    assert found.listing.unknown == "not trained"


def test_known_networks_have_intervals_where_the_images_are_counted() -> None:
    known = [{"name": "vgg_small", "value": 0.5, "final_value": 0.5, "is_best": False}]
    result = {**RESULT, "best_value": 0.875, "references": known, "num_valid": 100}
    found = references.section(study_of(*SEARCHED, FINAL, result=result))
    assert found is not None
    assert found.listing is not None
    assert found.listing.table.column("95 % of the full one")[1] == "40.38 to 59.62"
    assert "share of 100 images" in found.note


def test_a_known_network_that_is_handed_over_is_said_to_be() -> None:
    known = [{"name": "vgg_small", "value": 0.5, "final_value": 0.875, "is_best": True}]
    result = {**RESULT, "best_value": 0.875, "references": known}
    found = references.section(study_of(*SEARCHED, FINAL, result=result))
    assert found is not None
    assert found.listing is not None
    assert found.listing.table.rows == (("vgg_small, handed over", 50.0, 87.5),)


def test_a_search_without_known_networks_has_no_such_section() -> None:
    assert references.section(study_of(*SEARCHED, FINAL, result=RESULT)) is None
