# pyright: reportGeneralTypeIssues=false
"""The list of sections, one of a user's own, and the finalists."""

import dataclasses
import pathlib

import pytest
from report_cases import CELLS, SPACE, changed, finished_study, make_study

from xfernas_jax.errors import ReportError
from xfernas_jax.report.folder import write_report
from xfernas_jax.report.section import Listing, Section
from xfernas_jax.report.sections import SECTIONS, finalists, find_sections, make_sections
from xfernas_jax.report.study import SearchStudy
from xfernas_jax.report.table import Table


def slowest(study: SearchStudy) -> Section:
    """A section of a user's own."""
    rows = tuple((e.number, e.seconds) for e in study.searched)
    return Section("Slowest", listing=Listing("slowest", "Slowest", Table(("number", "s"), rows)))


def named_as(name: str) -> Section:
    return Section("T", listing=Listing(name, "T", Table(("a",), ((1,),))))


def test_a_section_of_a_users_own_stands_where_it_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(pathlib.Path(__file__).parent))
    makers = find_sections(["cost", "test_report_sections:slowest"])
    page = write_report(tmp_path / "r", make_study([0.5, 0.6]), makers).read_text()
    assert page.index("<h2>Cost</h2>") < page.index("<h2>Slowest</h2>")
    assert page.count("<h2>") == 2
    assert "getElementById" not in page  # there is nothing to sort
    text = (tmp_path / "r" / "data" / "slowest.csv").read_text()
    assert text == "number,s\n0,1.5\n1,1.5\n"


def test_no_name_means_all_of_ours_in_order() -> None:
    assert find_sections([]) == tuple(SECTIONS.values())


def test_an_unknown_section_names_what_is_near() -> None:
    with pytest.raises(ReportError, match="Did you mean finalists"):
        find_sections(["finalist"])


@pytest.mark.parametrize("name", ["../x", "cost", ""])
def test_a_table_has_a_name_of_its_own_that_a_file_can_have(name: str) -> None:
    makers = [SECTIONS["cost"], lambda _: named_as(name)]
    with pytest.raises(ReportError, match="name of a picture or table"):
        make_sections(make_study([0.5]), makers)


def test_a_function_that_gives_no_section_is_named() -> None:
    with pytest.raises(ReportError, match="Got 'text'"):
        make_sections(make_study([0.5]), [lambda _: "text"])  # type: ignore[list-item]


def test_finalists_have_their_values_mean_and_spread_and_the_best_is_first() -> None:
    section = finalists.section(finished_study())
    assert section is not None
    assert section.listing is not None
    rows = section.listing.table.rows
    # the deviations from 87.5 are 2.5 and 2.5: sqrt(2 * 2.5^2 / 1) = 3.5355
    assert rows[0][2:] == pytest.approx((87.5, 3.5355339, 85.0, 90.0))
    assert rows[1][2:] == (75.0, 0.0, 75.0, 75.0)
    assert [section.listing.text("mean", row[2]) for row in rows] == ["87.50", "75.00"]


def test_the_bias_of_the_best_of_several_is_said_in_the_metrics_unit() -> None:
    section = finalists.section(finished_study())
    assert section is not None
    assert "best of 2 means" in section.remark
    assert "by 1.25 % at most" in section.remark


def test_single_trainings_do_not_tell_the_bias() -> None:
    study = finished_study()
    single = [{**row, "values": row["values"][:1]} for row in study.result["finalists"]]
    result = {**study.result, "finalists": single, "selection_bias": None}
    section = finalists.section(dataclasses.replace(study, result=result))
    assert section is not None
    assert "by how much one training of each does not tell" in section.remark


def test_finalists_of_an_earlier_version_come_from_the_record() -> None:
    study = finished_study()
    other = changed(study.confirmations[0], number=2, genotype=CELLS[4], key=SPACE.key(CELLS[4]))
    result = {**study.result, "finalists": [], "selection_bias": None}
    study = dataclasses.replace(study, evaluations=(*study.evaluations, other), result=result)
    section = finalists.section(study)
    assert section is not None
    assert section.listing is not None
    assert section.listing.table.column("mean") == pytest.approx([87.5, 85.0])
    assert "by how much is not recorded" in section.remark


def test_a_search_without_confirmations_has_no_finalists() -> None:
    assert finalists.section(make_study([0.5])) is None
