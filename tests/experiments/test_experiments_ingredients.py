import pytest

from experiments import ingredients
from experiments.ingredients import FULL, Training
from xfernas_jax.data.base import DataConfig
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.train.config import TrainConfig


def training(source: str, variant: str, seed: int, accuracy: float) -> Training:
    return Training(source, variant, seed, accuracy, 1.0, "")


def cells(lines: list[str]) -> dict[str, list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in rows[2:]}


def test_the_table_has_differences_to_the_full_recipe_with_intervals_from_all_variants() -> None:
    lines = ingredients.table(
        [
            training("a", FULL, 0, 0.50),
            training("a", FULL, 1, 0.52),
            training("a", "worse", 0, 0.40),
            training("a", "worse", 1, 0.42),
            training("b", FULL, 0, 0.90),
            training("b", "worse", 0, 0.89),
            training("b", "better", 0, 0.91),
        ],
        [FULL, "worse", "none", "better"],
    )
    rows = cells(lines)
    # On a, each pair's residuals are +-.01, so the pooled variance of one training is
    # 4 x .01**2 / 2 degrees of freedom. The difference's standard error is sqrt(.0002 x (1/2 +
    # 1/2)) = .01414 and t of 2 degrees is 4.303: 6.1 points.
    assert rows["worse"] == ["**-10.0 ± 6.1**", "-1.0", "-5.5"]
    assert rows["better"] == ["", "+1.0", "+1.0 (1 of 2)"]
    assert rows["none"] == ["", "", ""]
    assert rows[f"{FULL}: accuracy"][0] == "51.0 (one training scatters by 1.4)"
    assert list(rows)[1:] == ["better", "worse", "none"]  # the best first


def test_the_mean_of_the_sets_has_an_interval_once_every_set_has() -> None:
    found = [
        training(source, variant, seed, accuracy + 0.02 * seed)
        for source in ("a", "b")
        for variant, accuracy in ((FULL, 0.5), ("other", 0.6))
        for seed in (0, 1)
    ]
    # As above on each set; their mean has .01414 / sqrt(2) = .01 and, by Welch and Satterthwaite,
    # (2 v)**2 / (2 v**2 / 2) = 4 degrees of freedom, t = 2.776: 2.8 points.
    assert cells(ingredients.table(found, [FULL, "other"]))["other"][2] == "**+10.0 ± 2.8**"


def test_every_variant_is_a_recipe_of_its_own() -> None:
    data = DataConfig(augment="crop_flip", image_size=16, test_flips=True)
    train = TrainConfig(
        schedule="one_cycle", warmup=0.2, nesterov=True, decay_all=False, label_smoothing=0.1
    )
    found = ingredients.variants(Recipe("full", NetworkConfig(), data, train))
    assert len({recipe.fingerprint() for recipe in found.values()}) == len(found) == 17


@pytest.mark.parametrize("name", ["no flips", "no flips at test time"])
def test_flips_are_not_left_out_where_there_are_none(name: str) -> None:
    full = Recipe("full", NetworkConfig(), DataConfig(augment="crop"), TrainConfig())
    assert name not in ingredients.variants(full)
