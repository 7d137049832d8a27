"""A training with each ingredient, against the same few steps written out in NumPy."""

import math
from typing import Any

import numpy as np
import pytest
from toy_training import (
    BATCH,
    BIAS,
    IMAGES,
    KERNEL,
    LABELS,
    NUM_CLASSES,
    STEPS,
    batch_order,
    inputs,
    make_trainer,
    toy_config,
    variables,
)

EPOCHS, SEED = 2, 5
Values = dict[str, np.ndarray]
BALANCED = (0.5, 1.0, 2.0)


def factor(config: Any, step: int) -> float:
    progress = step / (EPOCHS * STEPS)
    if progress < config.warmup:
        return 0.04 + 0.96 * progress / config.warmup
    rest = (progress - config.warmup) / (1.0 - config.warmup)
    return 1.0 - rest if config.schedule == "one_cycle" else (1.0 + math.cos(math.pi * rest)) / 2


def gradient(values: Values, rows: np.ndarray, config: Any, weights: tuple[float, ...]) -> Values:
    """Of the mean of w CE; of the softmax's logits it is w (p - smoothed target) / B."""
    x, labels = inputs(IMAGES[rows]).astype(np.float64), LABELS[rows]
    logits = x @ values["kernel"] + values["bias"]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    smooth = config.label_smoothing
    targets = (1.0 - smooth) * np.eye(NUM_CLASSES)[labels] + smooth / NUM_CLASSES
    to_logits = np.array(weights)[labels][:, None] * (shares - targets) / BATCH
    return {"kernel": x.T @ to_logits, "bias": to_logits.sum(axis=0)}


def by_hand(config: Any, weights: tuple[float, ...]) -> tuple[Values, Values]:
    """Returns the last values and their average."""
    values: Values = {"kernel": KERNEL.astype(np.float64), "bias": BIAS.astype(np.float64)}
    average, speed = dict(values), {name: np.zeros_like(x) for name, x in values.items()}
    for step in range(EPOCHS * STEPS):
        rows = batch_order(SEED, step // STEPS)[step % STEPS]
        grads = gradient(values, rows, config, weights)
        for name, value in values.items():
            grad = grads[name]
            if config.decay_all or name == "kernel":
                grad = grad + config.weight_decay * value
            speed[name] = grad + config.momentum * speed[name]
            move = grad + config.momentum * speed[name] if config.nesterov else speed[name]
            values[name] = value - config.learning_rate * factor(config, step) * move
            kept = min(config.average_decay, (1 + step) / (10 + step))
            average[name] = kept * average[name] + (1.0 - kept) * values[name]
    return values, average


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nesterov": True},
        {"weight_decay": 0.3},
        {"weight_decay": 0.3, "decay_all": False},
        {"warmup": 0.4},
        {"schedule": "one_cycle"},
        {"schedule": "one_cycle", "warmup": 0.3},
        {"average_decay": 0.3},
        {"class_weights": "balanced", "label_smoothing": 0.1},
    ],
    ids=str,
)
def test_an_ingredient_is_its_formula(changes: dict[str, Any]) -> None:
    config = toy_config(epochs=EPOCHS, **changes)
    balanced = config.class_weights == "balanced"
    trainer, part = make_trainer(config, class_weights=BALANCED if balanced else None)
    found = trainer.fit(variables(), part, SEED).variables["params"]["dense"]
    latest, average = by_hand(config, BALANCED if balanced else (1.0,) * NUM_CLASSES)
    expected = average if config.average_decay else latest
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6)


def test_the_average_is_what_is_evaluated_and_returned_with_its_batch_statistics() -> None:
    config = toy_config(epochs=EPOCHS, average_decay=0.9)
    trainer, part = make_trainer(config)
    result = trainer.fit(variables(), part, SEED)
    assert result.curve[-1] == pytest.approx(trainer.evaluate(result.variables, part), rel=1e-6)
    latest = np.zeros(4)
    average = np.zeros(4)
    for step in range(EPOCHS * STEPS):
        rows = batch_order(SEED, step // STEPS)[step % STEPS]
        latest = 0.5 * latest + 0.5 * inputs(IMAGES[rows]).mean(axis=0)
        kept = min(0.9, (1 + step) / (10 + step))
        average = kept * average + (1.0 - kept) * latest
    np.testing.assert_allclose(result.variables["batch_stats"]["mean"], average, rtol=1e-4)
