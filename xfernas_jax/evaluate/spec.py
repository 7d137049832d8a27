"""What an evaluator is built from: names and values that can be pickled, here or in a worker."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from xfernas_jax.data.base import ImageDataset
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.split import apply_config
from xfernas_jax.evaluate.base import Evaluator
from xfernas_jax.evaluate.fidelities import Fidelities
from xfernas_jax.evaluate.objective import ObjectiveEvaluator
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.evaluate.runtime import Runtime
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.nn.costs import NetworkCosts, find_cost
from xfernas_jax.options import neutral_words
from xfernas_jax.space.base import Space
from xfernas_jax.space.registry import get_space
from xfernas_jax.train.initial import EarlierVariables, read_arrays
from xfernas_jax.train.scores import find_metric
from xfernas_jax.types import Device


@runtime_checkable
class EvaluatorSpec(Protocol):
    """Names and values from which an evaluator is built."""

    def find_space(self) -> Space:
        """Returns the space of the genotypes."""
        ...

    def build(self, runtime: Runtime, devices: Sequence[Device] | None = None) -> Evaluator:
        """Loads what is needed.

        Args:
          runtime: how it uses the machine.
          devices: that it may use; None means all that the process sees.
        """
        ...

    def runtime_text(self, runtime: Runtime) -> str:
        """Returns in words what may decide whether an evaluation breaks, as `remat=true`."""
        ...


@dataclasses.dataclass(frozen=True)
class TrainedSpec:
    """Trainings of a data set; see `EvaluatorSpec`.

    Attributes:
      space: a name for `get_space`.
      dataset: a name for `load_dataset`.
      data_dir: of prepared TFDS sets.
      recipe: network size, data handling and training.
      metric: a name for `find_metric`.
      costs: names for `find_cost`, recorded of each network beside its parameters.
      final: recipe of the jobs of the purpose "final"; None where there are none.
      initial: file of the earlier variables that trainings start from; None where there are none.
    """

    space: str
    dataset: str
    data_dir: str | None
    recipe: Recipe
    metric: str = "accuracy"
    costs: tuple[str, ...] = ()
    final: Recipe | None = None
    initial: str | None = None

    def find_space(self) -> Space:
        return get_space(self.space)

    def load(self) -> ImageDataset:
        """Loads the data as the recipe wants it; where there is a final one, as that does."""
        return load_dataset(self.dataset, (self.final or self.recipe).data, self.data_dir)

    def build(
        self,
        runtime: Runtime,
        devices: Sequence[Device] | None = None,
        dataset: ImageDataset | None = None,
    ) -> TrainedEvaluator | Fidelities:
        """Builds as `EvaluatorSpec.build` says; `dataset` is what `load` gave, if it was called."""
        if self.final is None:
            return self.build_one(runtime, devices, dataset)
        whole = self.load() if dataset is None else dataset
        search, final = (
            dataclasses.replace(self, recipe=recipe, final=None)
            for recipe in (self.recipe, self.final)
        )
        is_of_size = search.recipe.data.image_size == final.recipe.data.image_size
        part = apply_config(whole, search.recipe.data) if is_of_size else search.load()
        build_final = functools.partial(final.build_one, runtime, devices, whole)
        return Fidelities(search.build_one(runtime, devices, part), build_final)

    def build_one(
        self,
        runtime: Runtime,
        devices: Sequence[Device] | None = None,
        dataset: ImageDataset | None = None,
    ) -> TrainedEvaluator:
        """Builds what trains by `recipe` alone; arguments as those of `build`."""
        return TrainedEvaluator(
            self.find_space(),
            self.load() if dataset is None else dataset,
            _applied(runtime, self.recipe),
            devices,
            runtime.programs,
            runtime.residence,
            runtime.unfinished_dir,
            runtime.evaluation_checkpoint_seconds or None,
            self.costs,
            find_metric(self.metric),
            self._earlier_variables(),
        )

    def _earlier_variables(self) -> EarlierVariables | None:
        if self.initial is None:
            return None
        return EarlierVariables(read_arrays(pathlib.Path(self.initial)))

    def known_costs(self, dataset: ImageDataset, names: Sequence[str]) -> NetworkCosts | None:
        """Returns what tells costs before a training; None where all have to be measured.

        Args:
          dataset: that `load` gave.
          names: for `find_cost`.
        """
        known = [name for name in names if find_cost(name).known is not None]
        if not known:
            return None
        num_classes = dataset.task.num_classes
        assert num_classes is not None
        return NetworkCosts(
            self.find_space(), self.recipe.network, num_classes, dataset.input_shape, known
        )

    def runtime_text(self, runtime: Runtime) -> str:
        whole = _applied(runtime, self.recipe)
        own = dataclasses.replace(runtime, depthwise=None, remat=None, scan_cells=None)
        return neutral_words(own, whole.network, whole.train)


@dataclasses.dataclass(frozen=True)
class ObjectiveSpec:
    """A function of the user's; see `EvaluatorSpec`.

    Attributes:
      space: a name for `get_space`.
      address: `module:FUNCTION`.
    """

    space: str
    address: str

    def find_space(self) -> Space:
        return get_space(self.space)

    def build(
        self, runtime: Runtime | None = None, devices: Sequence[Device] | None = None
    ) -> ObjectiveEvaluator:
        del runtime, devices
        return ObjectiveEvaluator(self.find_space(), self.address)

    def runtime_text(self, runtime: Runtime) -> str:
        del runtime
        return ""


def _applied(runtime: Runtime, recipe: Recipe) -> Recipe:
    """Returns a recipe with the forms of computation that the runtime chooses."""
    forms = {name: getattr(runtime, name) for name in ("depthwise", "remat", "scan_cells")}
    chosen = {name: value for name, value in forms.items() if value is not None}
    return dataclasses.replace(recipe, network=dataclasses.replace(recipe.network, **chosen))
