# pyright: reportGeneralTypeIssues=false
import dataclasses
import html.parser
import json

import pytest
from report_cases import (
    SPACE,
    finished_study,
    make_evaluation,
    make_spec,
    make_study,
    score_study,
    study_of,
)

from xfernas_jax.history.metric import Metric
from xfernas_jax.history.record import Task, TaskFacts
from xfernas_jax.report.page import MARK, render_page
from xfernas_jax.report.sections import SECTIONS, make_sections
from xfernas_jax.report.sections.evaluations import evaluation_table
from xfernas_jax.report.study import SearchStudy
from xfernas_jax.space import PUBLISHED, get_space
from xfernas_jax.space.categorical import Assignment, CategoricalSpace

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' {{ 7*7 }} \x1b[31m 名"
_PNG = b"\x89PNG\r\n\x1a\n" + bytes(8) + (100).to_bytes(4, "big") * 2


class Reader(html.parser.HTMLParser):
    """Collects elements and text; checks that elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._open):
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


def read(study: SearchStudy) -> Reader:
    sections = make_sections(study, tuple(SECTIONS.values()))
    images = {picture.name: _PNG for section in sections for picture in section.pictures}
    page = render_page(study, sections, images)
    assert MARK in page[:2000]
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader._open == []
    return reader


def test_the_page_says_what_the_search_found() -> None:
    reader = read(finished_study())
    for text in (
        "87.50 %",
        "mean over 2 confirming trainings",
        "81.25 %",
        "one training, read once",
        "digits, 10 classes",
        "60/20/20 by index",
        "mnist@a, usps@b",
        "jax 0.10.2",
        "FLOPs at most 9,000",
    ):
        assert text in reader.text, text
    assert "not finished" not in reader.text
    assert reader.text.count("81.25") == 1  # the test accuracy stands at no evaluation


def test_the_top_tells_of_the_images_and_of_the_sizes_at_which_they_are_seen() -> None:
    facts = TaskFacts(2_640, 43, 85, is_colour=True, imbalance=17.375)
    recipes = {
        name: {"data": {"image_size": size}}
        for name, size in (("recipe", 16), ("final_recipe", 32))
    }
    spec = make_spec(**recipes)
    spec = dataclasses.replace(spec, task=dataclasses.replace(spec.task, facts=facts))
    text = read(study_of(make_evaluation(0, 0.5), spec=spec)).text
    assert "2,640 training images, 85 pixels a side, colour" in text
    assert "17.4 times as many as the smallest" in text
    assert "16 pixels in short trainings, 32 pixels in full trainings" in text


def test_the_page_needs_no_network_and_forbids_it() -> None:
    reader = read(finished_study())
    policy = next(m["content"] for m in reader.named("meta") if "http-equiv" in m)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    for tag, attrs in reader.elements:
        assert tag not in ("link", "iframe", "object", "base", "form"), tag
        for name in ("src", "href", "srcset", "action"):
            assert (attrs.get(name) or "data:").startswith("data:"), (tag, attrs)
        assert not [name for name in attrs if name.startswith("on")]
    assert [m["content"] for m in reader.named("meta") if m.get("name") == "viewport"]
    assert all(image["alt"] for image in reader.named("img"))


def test_the_table_has_a_line_for_each_evaluation() -> None:
    study = finished_study()
    table = evaluation_table(study)
    assert table.column("validation accuracy (%)")[:4] == [50.0, 70.0, 60.0, None]
    assert table.column("number") == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]
    assert json.loads(table.column("genotype")[0]) == SPACE.to_json(study.evaluations[0].genotype)
    assert table.column("failure")[3] == "The loss is not finite in epoch 1."
    reader = read(study)
    rows = [row for row in reader.named("tr") if "data-status" in row]
    assert [row["data-status"] for row in rows] == [e.status for e in study.evaluations]
    assert "failure" not in evaluation_table(make_study([0.5])).columns


def test_everything_of_a_record_is_escaped() -> None:
    evaluation = make_evaluation(
        0,
        None,
        failure=HOSTILE,
        versions=((HOSTILE, HOSTILE),),
        costs=((HOSTILE, 1.0),),
    )
    complete = make_evaluation(1, 0.5, costs=((HOSTILE, 2.0),))
    config = {"recipe": {HOSTILE: {HOSTILE: HOSTILE}}, "optimizer": HOSTILE, "surrogate": HOSTILE}
    config["goal"] = {"limits": {HOSTILE: 1.0}, "pareto": HOSTILE}
    spec = dataclasses.replace(
        make_spec(**config), name=HOSTILE, task=Task(HOSTILE, HOSTILE, 2), recipe=HOSTILE
    )
    result = {**(finished_study().result or {}), "sources": [HOSTILE], "costs": {HOSTILE: 1.0}}
    names = ["target", HOSTILE, HOSTILE + "2"]
    result["relations"] = {**result["relations"], "names": names}
    wanted = read(finished_study())
    reader = read(study_of(evaluation, complete, spec=spec, result=result))
    assert len(reader.named("script")) == len(wanted.named("script")) == 1
    images = reader.named("img")
    assert all((image["src"] or "").startswith("data:") for image in images)
    assert not [attrs for _, attrs in reader.elements if "onerror" in attrs]
    assert "49" not in reader.text
    assert reader.text.count(HOSTILE) >= 15


def test_an_unfinished_study_says_so_and_has_no_test_value() -> None:
    reader = read(dataclasses.replace(finished_study(), result=None))
    assert "not finished: 8 evaluations" in reader.text
    assert "81.25" not in reader.text
    assert "test accuracy" not in reader.text
    assert "best validation accuracy so far" in reader.text
    assert "90.00 %" in reader.text
    assert "Nothing about source tasks is recorded: the search is not finished." in reader.text


def test_a_search_that_goes_on_says_of_what_its_result_is() -> None:
    study = finished_study()
    result = {**(study.result or {}), "num_evaluations": 4}
    assert "of the first 4" in read(dataclasses.replace(study, result=result)).text


@pytest.mark.parametrize("values", [[None], [None, None], [0.5]])
def test_the_smallest_studies_have_a_page(values: list[float | None]) -> None:
    reader = read(make_study(values))
    if values[0] is None:
        assert "none yet" in reader.text
        assert "No evaluation has a value that may win yet." in reader.text
        assert "No complete evaluation has a prediction" in reader.text
        assert not reader.named("img")


def test_scores_are_no_percentages() -> None:
    reader = read(score_study([-120.5, 3.25]))
    assert "best score so far" in reader.text
    assert "3.25" in reader.text
    assert "-120.5" in reader.text
    assert "%" not in reader.text


def test_a_loss_is_shown_under_its_name_with_unit_and_direction() -> None:
    loss = Metric("log_loss", "log loss", "nats", 0.0, None, False)
    spec = dataclasses.replace(make_spec(), task=Task("digits", "by index", 10, loss))
    study = study_of(make_evaluation(0, 0.25), make_evaluation(1, 0.75), spec=spec)
    reader = read(study)
    assert "best validation log loss so far0.25 nats" in reader.text.replace("\n", "")
    assert "validation log loss (nats); smaller is better" in reader.text
    assert "accuracy" not in reader.text
    finished = dataclasses.replace(study, result={**finished_study().result, "test_value": 0.5})
    assert "test log loss0.5 nats" in read(finished).text.replace("\n", "")


def test_an_objective_over_named_values_has_no_cells_no_test_part_and_no_parameters() -> None:
    space = CategoricalSpace("mine", {"depth": [2, 4], "norm": ["batch", "layer"]})
    genotypes = [space.decode(row.tolist()) for row in space.all_tokens(10)]
    result = {
        **finished_study().result,
        "best_genotype": space.to_json(genotypes[0]),
        "best_value": 0.0,
        "test_value": None,
        "finalists": [],
        "num_params": None,
    }
    values = [-float(i) for i in range(len(genotypes))]
    reader = read(score_study(values, space, genotypes, result=result))
    assert '"depth": 2' in reader.text
    assert "not confirmed" in reader.text
    for absent in ("classes", "test accuracy", "test score", "trainable", "Finalists"):
        assert absent not in reader.text


def test_architectures_of_a_users_own_plans_are_named_by_their_values() -> None:
    class Planned(CategoricalSpace):
        def plan(self, genotype: Assignment) -> tuple[str, Assignment]:
            return ("a plan", genotype)

    space = Planned("planned", {"depth": [2, 4]})
    genotypes = [space.genotype({"depth": depth}) for depth in (2, 4)]
    study = score_study([0.0, -1.0], space, genotypes)
    assert 'No. 1: {"space": "planned", "values": {"depth": 2}}' in read(study).text


def test_whole_networks_are_named_in_words() -> None:
    space, names = get_space("convnet"), ("resnet8", "vgg_like")
    study = score_study([0.0, -1.0], space, [PUBLISHED[name][1] for name in names])
    assert (
        "No. 1: 3 stages of 1, 1, 1 residual 3x3 blocks, 16-32-64 wide, strides, global mean, "
    ) in read(study).text


def test_a_broken_evaluation_says_why() -> None:
    broken = make_evaluation(0, None, status="broken", failure="Out of memory on device 0.")
    reader = read(study_of(broken, make_evaluation(1, 0.5)))
    assert "Out of memory on device 0." in reader.text
    assert "broken" in [row["data-status"] for row in reader.named("tr") if "data-status" in row]


@pytest.mark.parametrize(("version", "said"), [("0.2.0", "0.2.0"), ("", "0.1")])
def test_the_version_that_began_the_study_is_named(version: str, said: str) -> None:
    study = make_study([0.5])
    spec = dataclasses.replace(study.spec, version=version)
    assert f"xfernas_jax {said}\n" in read(dataclasses.replace(study, spec=spec)).text


def test_damage_in_a_configuration_is_shown_not_fatal() -> None:
    config = {"recipe": ["not", "an object"], "goal": 7, "seed": None, "confirm_seeds": "x"}
    assert "digits" in read(make_study([0.5], **config)).text
    goal = {"limits": [1], "pareto": 3}
    assert "digits" in read(make_study([0.5], goal=goal, recipe={"a": 1})).text
