import dataclasses

from report_cases import changed, make_study

from xfernas_jax.report.comparison import OWN, by_device_seconds, by_evaluations, group_studies


def test_studies_that_differ_in_the_seed_alone_make_one_group_with_a_band() -> None:
    own = make_study([0.5, 0.5, 0.75], seed=1)
    other = make_study([0.25, 1.0], "b", seed=2)
    groups = group_studies(own, [other])
    assert [len(group.studies) for group in groups] == [2]
    table = by_evaluations(own, groups).only("series", groups[0].label)
    # as far as both go: (50 + 25) / 2, (50 + 100) / 2
    assert table.rows == (
        (groups[0].label, 2, 1.0, 37.5, 25.0, 50.0),
        (groups[0].label, 2, 2.0, 75.0, 50.0, 100.0),
    )
    assert by_evaluations(own, groups).only("series", OWN).column("mean") == [50.0, 50.0, 75.0]


def test_bands_over_seconds_read_both_curves_at_every_step_of_either() -> None:
    own = make_study([0.5, 0.75], seed=1)  # at 1.5 and 3.0 s
    other = make_study([0.25, 1.0], "b", seed=2)
    slow = tuple(changed(e, seconds=2.0) for e in other.evaluations)  # 2.0, 4.0
    groups = group_studies(own, [dataclasses.replace(other, evaluations=slow)])
    table = by_device_seconds(own, groups).only("series", groups[0].label)
    assert [row[2:] for row in table.rows] == [
        (2.0, 37.5, 25.0, 50.0),
        (3.0, 50.0, 25.0, 75.0),
    ]


def test_curves_that_never_overlap_have_no_band() -> None:
    own = make_study([0.5], seed=1)
    late = make_study([None, None, 0.5], "b", seed=2)
    groups = group_studies(own, [late])
    assert by_evaluations(own, groups).column("series") == [OWN]


def test_other_configurations_are_groups_of_their_own_with_labels_that_say_why() -> None:
    own = make_study([0.5], source_studies={"m": 3})
    others = [
        make_study([0.5], "b", source_studies={"m": 5}),
        make_study(
            [0.5], "c", source_studies={"m": 3}, goal={"limits": {"params": 900}, "pareto": ""}
        ),
        make_study([0.5], "d", optimizer="random"),
        make_study([None], "e", optimizer="evolution"),  # nothing to draw
        make_study([0.7], "f", optimizer="random"),  # the seed of "d" again
    ]
    groups = group_studies(own, others)
    labels = [group.label for group in groups]
    assert [len(group.studies) for group in groups] == [1, 1, 1]
    assert sorted(labels) == [
        "random",
        "xfer_nao (no goal, 5 source evaluations)",
        "xfer_nao (params <= 900, 3 source evaluations)",
    ]
