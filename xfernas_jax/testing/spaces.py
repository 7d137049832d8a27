"""What every search space must keep."""

import json
from collections.abc import Callable

import numpy as np

from xfernas_jax.errors import GenotypeError, SpaceError
from xfernas_jax.space.base import Genotype, Space

_NUM_DRAWS = 50


class SpaceContract:
    """Inherit it and set `space`.

    Attributes:
      space: the instance to test.
    """

    space: Space

    def _draws(self) -> list[Genotype]:
        rng = np.random.default_rng(0)
        return [self.space.sample(rng) for _ in range(_NUM_DRAWS)]

    def test_samples_lie_in_the_space(self) -> None:
        mask = self.space.mask()
        for genotype in self._draws():
            tokens = self.space.encode(genotype)
            assert len(tokens) == len(self.space.choices)
            assert 0 not in tokens, "token 0 is the decoder's start symbol"
            assert mask[np.arange(len(tokens)), list(tokens)].all()

    def test_sampling_is_fixed_by_the_seed(self) -> None:
        assert self._draws() == self._draws()

    def test_decode_inverts_encode(self) -> None:
        for genotype in self._draws():
            tokens = self.space.encode(genotype)
            again = self.space.decode(tokens)
            assert again == genotype
            assert hash(again) == hash(genotype)

    def test_every_allowed_sequence_decodes(self) -> None:
        for tokens in self.space.sample_tokens(np.random.default_rng(1), _NUM_DRAWS):
            row = tuple(tokens.tolist())
            assert self.space.encode(self.space.decode(row)) == row

    def test_canonical_tokens_are_those_of_the_same_networks(self) -> None:
        draws = self._draws()
        tokens = np.array([self.space.encode(genotype) for genotype in draws], np.int32)
        found = self.space.canonical_tokens(tokens)
        keys = [self.space.key(self.space.decode(row)) for row in found.tolist()]
        assert keys == [self.space.key(genotype) for genotype in draws]
        assert (self.space.canonical_tokens(found) == found).all()

    def test_a_sequence_of_another_length_is_refused(self) -> None:
        tokens = self.space.encode(self._draws()[0])
        assert _is_refused(lambda: self.space.decode(tokens[:-1]))

    def test_mutation_changes_the_genotype_within_the_space(self) -> None:
        rng, mask = np.random.default_rng(2), self.space.mask()
        for genotype in self._draws():
            mutant = self.space.mutate(genotype, rng)
            assert mutant != genotype
            tokens = self.space.encode(mutant)
            assert mask[np.arange(len(tokens)), list(tokens)].all()

    def test_json_round_trip(self) -> None:
        for genotype in self._draws():
            value = self.space.to_json(genotype)
            assert value["space"] == self.space.name
            assert self.space.from_json(json.loads(json.dumps(value))) == genotype

    def test_json_that_is_no_genotype_is_refused(self) -> None:
        value = self.space.to_json(self._draws()[0])
        wrong = [None, [], "x", {}, {**value, "space": "another"}, {"space": self.space.name}]
        for other in wrong:
            assert _is_refused(lambda other=other: self.space.from_json(other)), other

    def test_canonical_is_idempotent_and_shares_the_key(self) -> None:
        for genotype in self._draws():
            canonical = self.space.canonical(genotype)
            assert self.space.canonical(canonical) == canonical
            assert self.space.key(canonical) == self.space.key(genotype)

    def test_plans_are_values_and_equal_networks_have_equal_ones(self) -> None:
        for genotype in self._draws():
            plan = self.space.plan(genotype)
            assert hash(plan) == hash(self.space.plan(genotype))


def _is_refused(call: Callable[[], object]) -> bool:
    """Tells whether a call ends in a user's mistake with a message of one line."""
    try:
        call()
    except (GenotypeError, SpaceError) as error:
        return "\n" not in str(error)
    return False
