"""What a worker needs in order to score architectures: names and values, no loaded data."""

import dataclasses

from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.stream import Residence
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.nn.programs import ProgramChoice
from xfernas_jax.space.registry import get_space
from xfernas_jax.train.compile_cache import use_compile_cache


@dataclasses.dataclass(frozen=True)
class EvaluationSetup:
    """How a worker builds its benchmark; can be pickled.

    Attributes:
      space: a name for `get_space`.
      dataset: a name for `load_dataset`.
      data_dir: of prepared TFDS sets.
      recipe: network size, data handling and training.
      programs: see `TrainedEvaluator`.
      compile_cache: folder and bound in GiB; None leaves JAX's own settings.
      residence: of the data, see `TrainedEvaluator`.
      unfinished_dir: see `TrainedEvaluator`.
      checkpoint_seconds: see `TrainedEvaluator`.
      costs: see `TrainedEvaluator`.
    """

    space: str
    dataset: str
    data_dir: str | None
    recipe: Recipe
    programs: ProgramChoice = "auto"
    compile_cache: tuple[str, float] | None = None
    residence: Residence = "auto"
    unfinished_dir: str | None = None
    checkpoint_seconds: float | None = None
    costs: tuple[str, ...] = ()

    def benchmark(self) -> TrainedEvaluator:
        """Loads the data and takes all devices that the process sees."""
        if self.compile_cache is not None:
            use_compile_cache(*self.compile_cache)
        dataset = load_dataset(self.dataset, self.recipe.data, self.data_dir)
        space = get_space(self.space)
        return TrainedEvaluator(
            space,
            dataset,
            self.recipe,
            programs=self.programs,
            residence=self.residence,
            unfinished_dir=self.unfinished_dir,
            checkpoint_seconds=self.checkpoint_seconds,
            costs=self.costs,
        )
