import pytest

from xfernas_jax.errors import RecipeError
from xfernas_jax.evaluate.recipes import RECIPES, get_recipe, recipe_from_json
from xfernas_jax.space import get_space

V010 = {  # printed by version 0.1.0; records hold them
    "cpu": "41ff564445f7",
    "cpu_two_cell": "f01b30fcea48",
    "proxy": "e2f60a0ec2e7",
    "final": "9062db21ee42",
}


@pytest.mark.parametrize("name", sorted(V010))
def test_fingerprints_are_those_of_version_0_1_0(name: str) -> None:
    assert RECIPES[name].fingerprint() == V010[name]


def test_fingerprints_of_changed_recipes_are_those_of_version_0_1_0() -> None:
    assert get_recipe("cpu", ["data.valid_in_train=true"]).fingerprint() == "dcae7fede0f0"
    changes = ["network.remat=true", "network.dropout_keep=0.5", "train.eval_batch_size=64"]
    assert get_recipe("proxy", changes).fingerprint() == "be4420e7e34b"


@pytest.mark.parametrize(
    "change",
    [
        "network.depthwise=lax",
        "network.remat=true",
        "network.scan_cells=true",
        "train.eval_batch_size=64",
    ],
)
def test_what_changes_speed_or_memory_alone_is_not_decisive(change: str) -> None:
    recipe = get_recipe("cpu", [change])
    assert recipe != RECIPES["cpu"]
    assert recipe.decisive() == RECIPES["cpu"].decisive()
    assert recipe.fingerprint() == V010["cpu"]


def test_the_decisive_values_name_the_recipe_and_whether_validation_images_are_trained_on() -> None:
    assert RECIPES["cpu"].decisive()["name"] == "cpu"
    assert "valid_in_train" not in RECIPES["cpu"].decisive()["data"]
    joined = get_recipe("cpu", ["data.valid_in_train=true"])
    assert joined.decisive()["data"]["valid_in_train"] is True


LATER = {
    "data.cutout_probability": "0.5",
    "data.test_flips": "true",
    "train.schedule": "one_cycle",
    "train.warmup": "0.1",
    "train.nesterov": "true",
    "train.decay_all": "false",
    "train.average_decay": "0.99",
    "train.mixup": "0.2",
    "train.class_weights": "balanced",
}


@pytest.mark.parametrize("place", sorted(LATER))
def test_a_later_value_is_decisive_and_recorded_only_where_it_is_set(place: str) -> None:
    part, field = place.split(".")
    plain, changed = RECIPES["cpu"], get_recipe("cpu", [f"{place}={LATER[place]}"])
    assert field not in plain.to_json()[part]
    assert field in changed.to_json()[part]
    assert changed.fingerprint() != plain.fingerprint()
    assert recipe_from_json(changed.to_json()) == changed


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_comes_back_from_its_json(name: str) -> None:
    recipe = get_recipe(name, ["data.valid_in_train=true", "network.remat=true"])
    assert recipe_from_json(recipe.to_json()) == recipe
    assert recipe_from_json(RECIPES[name].to_json()) == RECIPES[name]
    assert recipe_from_json(RECIPES[name].decisive()) == RECIPES[name]


def test_a_near_recipe_is_named() -> None:
    with pytest.raises(RecipeError, match=r"--recipe.*Did you mean proxy\?.*Known: cpu, "):
        get_recipe("prox")


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_change_that_a_spaces_networks_do_not_read_is_refused(name: str) -> None:
    space = get_space("convnet")
    unread = f"network.filters={RECIPES[name].network.filters}"  # though it changes nothing
    message = r"--set=network\.filters=.*'convnet' do not read network\.filters"
    with pytest.raises(RecipeError, match=message) as refused:
        get_recipe(name, ["train.epochs=3", unread], space)
    assert "\n" not in str(refused.value)
    assert get_recipe(name, ["network.dropout_keep=0.5"], space).network.dropout_keep == 0.5
    assert get_recipe(name, [unread], get_space("nao5")) == RECIPES[name]
