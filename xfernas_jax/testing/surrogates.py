"""What every surrogate must keep."""

import numpy as np

from xfernas_jax.predictor.base import Posterior, Surrogate, TaskHistory
from xfernas_jax.space.base import Space


class SurrogateContract:
    """Inherit it, set `space` and write `make`.

    Attributes:
      space: of the architectures.
    """

    space: Space

    def make(self, sources: tuple[TaskHistory, ...]) -> Surrogate:
        """Returns a new surrogate that knows these sources."""
        raise NotImplementedError

    def history(self, name: str, count: int, seed: int) -> TaskHistory:
        """Returns random architectures with scores that follow from their tokens."""
        tokens = self.space.sample_tokens(np.random.default_rng(seed), count)
        return TaskHistory(name, tokens, np.sin(tokens).sum(1) + 0.1 * len(name))

    def _posterior(self, num_observed: int, surrogate: Surrogate | None = None) -> Posterior:
        surrogate = surrogate or self.make((self.history("a", 40, 1), self.history("bb", 40, 2)))
        return surrogate.condition(self.history("target", num_observed, 3))

    def test_it_predicts_with_and_without_observations_and_sources(self) -> None:
        tokens = self.space.sample_tokens(np.random.default_rng(4), 20)
        for sources in ((), (self.history("a", 40, 1),)):
            surrogate = self.make(sources)
            assert isinstance(surrogate, Surrogate)
            assert surrogate.trusts_sources in (True, False)
            assert sources or not surrogate.trusts_sources
            for count in (0, 1, 12):
                mean = self._posterior(count, surrogate).mean(tokens)
                assert mean.shape == (20,)
                assert np.isfinite(mean).all()

    def test_draws_are_functions_of_the_architecture(self) -> None:
        tokens = self.space.sample_tokens(np.random.default_rng(4), 8)
        drawn = self._posterior(12).sample(np.random.default_rng(0), 3, tokens)
        assert drawn.shape == (3, 8)
        assert np.isfinite(drawn).all()

    def test_a_posterior_depends_on_what_it_is_given_alone(self) -> None:
        tokens = self.space.sample_tokens(np.random.default_rng(4), 20)
        surrogate = self.make((self.history("a", 40, 1),))
        first = self._posterior(12, surrogate).mean(tokens)
        self._posterior(5, surrogate)
        np.testing.assert_array_equal(self._posterior(12, surrogate).mean(tokens), first)

    def test_it_learns_what_it_is_shown(self) -> None:
        target = self.history("target", 30, 3)
        mean = self.make(()).condition(target).mean(target.tokens)
        assert np.corrcoef(mean, target.scores)[0, 1] > 0.3
