"""Whole evaluations as one first writes them in Flax and in PyTorch, to measure ours against.

Both follow a recipe's training (the same splits, batches, rate, decay, clipping and validation
after each epoch) with networks of the same plan. Left out is what makes ours fast: the Flax one
compiles `init`, takes XLA's depthwise convolution and Optax's optimizer leaf by leaf, and sends
each batch from the host; neither keeps anything from one evaluation to the next.
"""

import dataclasses
import importlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from xfernas_jax.data import ImageDataset, Split, epoch_indices, normalizer
from xfernas_jax.errors import RecipeError
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.nn.builders import build_network
from xfernas_jax.space.base import Genotype, Space

Batch = tuple[np.ndarray, np.ndarray]


class HostData:
    """A data set's batches, standardised on the host."""

    def __init__(self, dataset: ImageDataset, recipe: Recipe) -> None:
        """Takes the data; `RecipeError` for what the plain trainings below lack."""
        data, train, network = recipe.data, recipe.train, recipe.network
        plain = data.augment == "none" and not data.cutout and data.standardize == "dataset"
        plain = plain and train.optimizer == "sgd" and not train.label_smoothing
        plain = plain and network.drop_path_keep == network.dropout_keep == 1.0
        if not plain or network.auxiliary_weight or not train.clip_norm:
            raise RecipeError(
                f"Recipe {recipe.name!r}: the plain trainings know SGD with clipping, no "
                "augmentation, label smoothing, drop path, dropout or auxiliary head; take cpu."
            )
        self._dataset, self._train = dataset, train
        self._scale = normalizer(dataset, data)
        self.steps_per_epoch = len(dataset.train) // train.batch_size

    def epoch(self, seed: int, epoch: int) -> Iterator[Batch]:
        """Yields an epoch's training batches: float32 `[B, H, W, C]` and labels `[B]`."""
        split = self._dataset.train
        for rows in epoch_indices(len(split), self._train.batch_size, seed, epoch):
            yield self._batch(split, rows)

    def valid(self) -> Iterator[Batch]:
        """Yields the validation part in order; the last batch may be smaller."""
        split, size = self._dataset.valid, self._train.eval_batch_size
        for start in range(0, len(split), size):
            yield self._batch(split, np.arange(start, min(start + size, len(split))))

    def _batch(self, split: Split, rows: np.ndarray) -> Batch:
        images = (split.images[rows].astype(np.float32) - self._scale.mean) / self._scale.std
        return images, split.labels[rows]


def evaluate_in_flax(
    space: Space, dataset: ImageDataset, recipe: Recipe, genotype: Genotype, seed: int
) -> float:
    """Trains an architecture and returns its accuracy on the validation part."""
    config, data = recipe.train, HostData(dataset, recipe)
    plain = dataclasses.replace(recipe.network, depthwise="lax")
    assert dataset.task.num_classes is not None
    network = build_network(space.plan(genotype), plain, dataset.task.num_classes)
    images = jnp.zeros((1, *dataset.input_shape))
    variables = jax.jit(network.init)(jax.random.key(seed), images)
    params, batch_stats = variables["params"], variables["batch_stats"]
    period = (config.schedule_epochs or config.epochs) * data.steps_per_epoch
    optimizer = optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.add_decayed_weights(config.weight_decay),
        optax.sgd(optax.cosine_decay_schedule(config.learning_rate, period), config.momentum),
    )
    opt_state = optimizer.init(params)

    @jax.jit
    def train_step(
        params: Any, batch_stats: Any, opt_state: Any, images: jax.Array, labels: jax.Array
    ) -> tuple[Any, Any, Any, jax.Array]:
        def loss_of(params: Any) -> tuple[jax.Array, Any]:
            (logits, _), updated = network.apply(
                {"params": params, "batch_stats": batch_stats},
                images,
                train=True,
                mutable=["batch_stats"],
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), updated["batch_stats"]

        (loss, stats), grads = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), stats, opt_state, loss

    @jax.jit
    def eval_step(params: Any, batch_stats: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
        logits, _ = network.apply({"params": params, "batch_stats": batch_stats}, images)
        return jnp.sum(jnp.argmax(logits, axis=-1) == labels)

    correct = 0
    for epoch in range(config.epochs):
        losses = []
        for batch in data.epoch(seed, epoch):
            params, batch_stats, opt_state, loss = train_step(
                params, batch_stats, opt_state, *batch
            )
            losses.append(loss)
        assert np.isfinite(np.mean(jax.device_get(losses)))
        correct = sum(int(eval_step(params, batch_stats, *batch)) for batch in data.valid())
    return correct / len(dataset.valid)


def evaluate_in_torch(
    space: Space, dataset: ImageDataset, recipe: Recipe, genotype: Genotype, seed: int
) -> float:
    """The same in PyTorch, eagerly and in `channels_last`; `MissingExtraError` without PyTorch."""
    twin = importlib.import_module("experiments.bench.torch_network")
    torch, config, data = twin.torch, recipe.train, HostData(dataset, recipe)
    torch.manual_seed(seed)
    classes = dataset.task.num_classes
    model = twin.Network(space.plan(genotype), recipe.network, dataset.input_shape, classes)
    for value in model.parameters():
        if value.dim() > 1:  # Flax's initialisers: normals cut at two deviations
            variance = (2.0 if value.dim() == 4 else 1.0) / value[0].numel()
            std = variance**0.5 / 0.87962566103423978
            torch.nn.init.trunc_normal_(value, std=std, a=-2 * std, b=2 * std)
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(), config.learning_rate, config.momentum, weight_decay=config.weight_decay
    )
    period = (config.schedule_epochs or config.epochs) * data.steps_per_epoch
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, period)

    def tensors(images: np.ndarray, labels: np.ndarray) -> tuple[Any, Any]:
        return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels).long()

    correct = 0
    for epoch in range(config.epochs):
        model.train()
        total = 0.0
        for batch in data.epoch(seed, epoch):
            images, labels = tensors(*batch)
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimizer.step()
            schedule.step()
            total += loss.item()
        assert np.isfinite(total)
        model.eval()
        correct = 0
        with torch.no_grad():
            for batch in data.valid():
                images, labels = tensors(*batch)
                correct += int((model(images).argmax(1) == labels).sum())
    return correct / len(dataset.valid)
