# pyright: reportAttributeAccessIssue=false
"""Surrogates by name, and of a user's own."""

import pathlib

import numpy as np
import pytest

from xfernas_jax.errors import FlagError
from xfernas_jax.predictor.base import Surrogate, TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.registry import SURROGATES, make_surrogate
from xfernas_jax.search.registry import SearchConfig, make_optimizer
from xfernas_jax.search.seen import Seen
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
QUICK = PredictorConfig(num_members=1, source_steps=5, target_steps=2)
OWN = """
import numpy as np


class Posterior:
    def __init__(self, seen):
        self.seen = seen

    def mean(self, tokens):
        return tokens.sum(1).astype(float)

    def sample(self, rng, count, tokens):
        return rng.normal(size=(count, len(tokens)))

    def costs(self, tokens):
        return np.zeros((len(tokens), 0))

    def ascend(self, rng, starts):
        return starts


class Sums:
    trusts_sources = True

    def __init__(self, space, sources, config, numbers):
        self.arguments = (space, sources, config, numbers)

    def condition(self, target):
        return Posterior(target)


def nothing(space, sources, config, numbers):
    return 3


text = "head"
"""


@pytest.fixture
def own(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module outside the package."""
    (tmp_path / "own_surrogates.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_surrogates"


@pytest.mark.parametrize("name", sorted(SURROGATES))
def test_every_name_builds_a_surrogate(name: str) -> None:
    assert isinstance(make_surrogate(name, SPACE, (), QUICK), Surrogate)


def test_a_surrogate_of_ones_own_is_built_with_what_it_may_need(own: str) -> None:
    tokens = SPACE.sample_tokens(np.random.default_rng(0), 5)
    sources = [TaskHistory("s", tokens, np.arange(5.0))]
    surrogate = make_surrogate(f"{own}:Sums", SPACE, sources, QUICK, np.ones_like)
    assert surrogate.arguments == (SPACE, sources, QUICK, np.ones_like)


def test_a_search_follows_a_surrogate_of_ones_own(own: str) -> None:
    tokens = SPACE.sample_tokens(np.random.default_rng(0), 40)
    sources = [TaskHistory("s", tokens, np.arange(40.0))]
    config = SearchConfig(surrogate=f"{own}:Sums")
    optimizer = make_optimizer("xfer_nao", SPACE, sources, config)
    (first,) = optimizer.suggest(Seen(SPACE), np.random.default_rng(0), 1)
    assert first.predicted == tokens.sum(1).max()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jiont", "Did you mean joint"),
        ("gp", "Known: head, joint, graph; one of your own is module:NAME"),
        ("no_such_module:Sums", "cannot be imported"),
        ("own_surrogates:nothing", "must build an object with `condition`"),
        ("own_surrogates:text", "be callable as NAME"),
        ("own_surrogates:missing", "be callable as NAME"),
    ],
)
def test_what_builds_no_surrogate_is_refused(own: str, name: str, message: str) -> None:
    del own
    with pytest.raises(FlagError, match=message):
        make_surrogate(name, SPACE, (), QUICK)


def test_numbers_of_architectures_are_refused_where_none_are_taken() -> None:
    with pytest.raises(FlagError, match="--architecture_numbers needs --surrogate=head"):
        make_surrogate("joint", SPACE, (), QUICK, np.ones_like)
