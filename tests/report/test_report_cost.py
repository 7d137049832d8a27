import dataclasses

from report_cases import finished_study, make_evaluation, make_spec, study_of

from xfernas_jax.report.cost import cost_table, source_costs, source_counts
from xfernas_jax.report.study import SourceCost
from xfernas_jax.report.table import Table


def test_costs_add_up_and_sources_stand_beside() -> None:
    sources = (SourceCost("m", 3, 6, 9.0), SourceCost("gone", 5, None, None))
    study = finished_study(
        sources=sources
    )  # 2 devices; 8 + 2 trainings of 1.5 s; curves of 2, one of 1, one of 0
    assert cost_table(study).rows == (
        ("search", 8, 13, 24.0),
        ("confirmation of the finalists", 2, 4, 6.0),
        ("this study together", 10, 17, 30.0),
        ("source m", 3, 6, 9.0),
        ("source gone", 5, None, None),
        ("all sources together", 8, None, None),
    )


def test_a_training_that_was_repeated_for_the_test_has_a_row() -> None:
    again = make_evaluation(0, 0.5, purpose="test", seconds=2.5)
    rows = {row[0]: row[1:] for row in cost_table(study_of(make_evaluation(0, 0.5), again)).rows}
    assert rows["repeated for the test"] == (1, 2, 2.5)
    assert rows["this study together"] == (2, 4, 4.0)


def test_a_source_costs_what_was_there_when_the_search_began() -> None:
    evaluations = tuple(make_evaluation(i, 0.5, seconds=float(2**i)) for i in range(4))
    loaders = {"m": lambda: evaluations, "shrunk": lambda: evaluations}
    found = source_costs({"m": 3, "shrunk": 5, "gone": 1}, loaders)
    assert found == (
        SourceCost("m", 3, 6, 7.0),
        SourceCost("shrunk", 5, None, None),
        SourceCost("gone", 1, None, None),
    )


def test_an_optimizer_that_uses_no_sources_pays_for_none() -> None:
    given = {"source_studies": {"m": 3, "empty": 0, "damaged": "3"}}
    for config, counts in (
        ({"optimizer": "xfer_bananas"}, {"m": 3}),
        ({"optimizer": "random"}, {}),
        ({"optimizer": "random", "early_stop": "median"}, {"m": 3}),
        ({"optimizer": "nao", "reuse_target": True}, {"m": 3}),
        ({"optimizer": "mine:BUILDER"}, {"m": 3}),
        ({"optimizer": "xfer_nao", "source_studies": 7}, {}),
    ):
        spec = dataclasses.replace(make_spec(), config={**given, **config})
        assert source_counts(spec) == counts, config


def test_csv_has_every_digit_and_no_formula() -> None:
    table = Table(("a", "b"), ((0.1 + 0.2, "=1+1"), (None, 'x "y", z'), (True, "-2")))
    assert table.to_csv() == ('a,b\n0.30000000000000004,\'=1+1\n,"x ""y"", z"\nyes,\'-2\n')
