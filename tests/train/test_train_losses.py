import jax.numpy as jnp
import numpy as np

from xfernas_jax.train.losses import balanced_weights, cross_entropy, target_rows

LOGITS = jnp.asarray([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]])
LABELS = jnp.asarray([2, 1])


def test_balanced_weights_make_classes_weigh_alike_with_mean_1() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [3], np.int32)
    weights = balanced_weights(labels, 4)
    # n / (K n_c) of n = 10 examples of K = 3 classes that occur: 10/18, 10/9, 10/3.
    np.testing.assert_allclose(weights, [10 / 18, 10 / 9, 0.0, 10 / 3])
    np.testing.assert_allclose(np.array(weights)[labels].mean(), 1.0)


def test_weights_by_the_square_root_lie_between_none_and_balanced() -> None:
    labels = np.array([0] * 9 + [1] * 4 + [3], np.int32)
    weights = np.array(balanced_weights(labels, 4, 0.5))
    # 1/3, 1/2 and 1, times 14 / (9/3 + 4/2 + 1).
    np.testing.assert_allclose(weights, np.array([1 / 3, 1 / 2, 0.0, 1.0]) * 14 / 6)
    np.testing.assert_allclose(weights[labels].mean(), 1.0)


def test_rows_without_smoothing_and_weights_give_the_loss_of_the_labels() -> None:
    np.testing.assert_allclose(
        cross_entropy(LOGITS, target_rows(LABELS, 3)), cross_entropy(LOGITS, LABELS), rtol=1e-6
    )


def test_a_row_is_the_smoothed_target_times_the_weight_of_its_class() -> None:
    rows = target_rows(LABELS, 3, 0.3, (1.0, 2.0, 10.0))
    np.testing.assert_allclose(rows, [[1.0, 1.0, 8.0], [0.2, 1.6, 0.2]], rtol=1e-6)
