"""Measures whether a recipe ranks architectures: their spread against its seed noise.

    python -m experiments.recipe_ranking --space=nasbench201 --dataset=digits --output=ranking.json

Trains random architectures under several seeds. Spread is the standard deviation over the
architectures' means, with the share that seed noise adds to a mean subtracted; noise is the pooled
standard deviation over the seeds of one architecture. Also prints the mean rank correlation of two
seeds, which is what a search feels. The interval is a bootstrap over architectures.
"""

import os
import pathlib
import time

import jax
import numpy as np
from absl import flags
from scipy import stats

from experiments import commands
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.evaluate.recipes import default_recipe, get_recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator, versions
from xfernas_jax.history import Job
from xfernas_jax.space.registry import get_space

_SPACE = flags.DEFINE_string("space", "nasbench201", "Search space.")
_DATASET = flags.DEFINE_string("dataset", "digits", "Data set.")
_RECIPE = flags.DEFINE_string("recipe", None, "Recipe to measure; by default that of the space.")
_SET = flags.DEFINE_multi_string("set", [], "Changes one recipe value: PART.FIELD=VALUE.")
_ARCHITECTURES = flags.DEFINE_integer("num_architectures", 20, "Random ones.", lower_bound=3)
_SEEDS = flags.DEFINE_integer("num_seeds", 3, "Trainings of each architecture.", lower_bound=2)
_SEED = flags.DEFINE_integer("seed", 0, "Of the architectures.", lower_bound=0)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the scores and the figures.")
_WORKDIR = flags.DEFINE_string("workdir", "runs", "Folder of the compile cache.")


def spread_and_noise(scores: np.ndarray) -> tuple[float, float]:
    """Returns both standard deviations for scores `[architectures, seeds]`."""
    noise = float(np.sqrt(scores.var(1, ddof=1).mean()))
    between = scores.mean(1).var(ddof=1) - noise**2 / scores.shape[1]
    return float(np.sqrt(max(between, 0.0))), noise


def rank_correlation(scores: np.ndarray) -> float:
    """Returns the mean Spearman correlation over all pairs of seeds."""
    correlation = np.corrcoef(stats.rankdata(scores, axis=0), rowvar=False)
    return float(np.mean(correlation[np.tril_indices(scores.shape[1], -1)]))


def ratio_interval(scores: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Returns the 95 % bootstrap interval of spread / noise over architectures."""
    ratios = []
    for _ in range(2000):
        spread, noise = spread_and_noise(scores[rng.integers(len(scores), size=len(scores))])
        ratios.append(spread / max(noise, 1e-9))
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Measures one recipe."""
    jax.config.update(
        "jax_compilation_cache_dir", os.path.abspath(f"{_WORKDIR.value}/compile_cache")
    )
    space = get_space(_SPACE.value)
    recipe = get_recipe(_RECIPE.value or default_recipe(space), _SET.value, space)
    dataset = load_dataset(_DATASET.value, recipe.data, None)
    evaluator = TrainedEvaluator(space, dataset, recipe)
    rng = np.random.default_rng(_SEED.value)
    genotypes = {}
    while len(genotypes) < _ARCHITECTURES.value:
        genotype = space.sample(rng)
        genotypes.setdefault(space.key(genotype), genotype)
    rows, curves, start = [], [], time.monotonic()
    for genotype in genotypes.values():
        jobs = [Job(0, genotype, space.key(genotype), seed) for seed in range(_SEEDS.value)]
        results = [evaluator.evaluate(job).result for job in jobs]
        rows.append([0.0 if result.value is None else result.value for result in results])
        curves.append([list(result.curve) for result in results])
        shown = " ".join(f"{value:.4f}" for value in rows[-1])
        print(
            f"{len(rows):>3}/{len(genotypes)}  {shown}  {results[0].seconds:.1f} s first",
            flush=True,
        )
    scores = np.array(rows)
    spread, noise = spread_and_noise(scores)
    low, high = ratio_interval(scores, np.random.default_rng(0))
    best_half = scores[np.argsort(-scores.mean(1))[: len(scores) // 2]]
    best_spread, best_noise = spread_and_noise(best_half)
    result = {
        "space": space.name,
        "dataset": dataset.task.dataset,
        "recipe": recipe.to_json(),
        "fingerprint": recipe.fingerprint(),
        "mean": float(scores.mean()),
        "spread": spread,
        "noise": noise,
        "ratio": spread / max(noise, 1e-9),
        "ratio_ci95": [low, high],
        "best_half": {"spread": best_spread, "noise": best_noise},
        "rank_correlation": rank_correlation(scores),
        "seconds": time.monotonic() - start,
        "versions": dict(versions()),
        "scores": scores.tolist(),
        "curves": curves,
    }
    print(
        f"mean {result['mean']:.4f}  spread {spread:.4f}  noise {noise:.4f}  ratio "
        f"{result['ratio']:.2f} [{low:.2f}, {high:.2f}]  rank correlation "
        f"{result['rank_correlation']:.2f}  {result['seconds']:.0f} s\n"
        f"best half alone: spread {best_spread:.4f}  noise {best_noise:.4f}"
    )
    if _OUTPUT.value:
        commands.write_json(pathlib.Path(_OUTPUT.value), result)


if __name__ == "__main__":
    commands.start("recipe_ranking", main)
