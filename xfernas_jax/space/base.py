"""The `Space` base class: what search, history and compiler need to know of a search space."""

import abc
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xfernas_jax.errors import GenotypeError, SpaceError
from xfernas_jax.space.graph import Plan

Genotype = Any  # a frozen, hashable value whose class belongs to its space


class Space(abc.ABC):
    """A search space over token sequences of one fixed length.

    To add a space, subclass this in one file and give its instance a line in
    `space/registry.py`, or name it from your own package with `--space=my_package.my_file:NAME`
    where `NAME` is the instance. A subclass sets `name`, `vocabulary` and `choices` and writes
    `encode`, `decode`, `plan`, `canonical`, `to_json` and `from_json`; sampling and mutation
    follow from the choices.

    Attributes:
      name: unique, stored with every study.
      vocabulary: symbol of each token; token 0 is the decoder's start symbol and never part of
        a sequence.
      choices: for each position the tokens that may stand there. Every combination decodes.
    """

    name: str
    vocabulary: tuple[str, ...]
    choices: tuple[tuple[int, ...], ...]

    @abc.abstractmethod
    def encode(self, genotype: Genotype) -> tuple[int, ...]:
        """Returns the tokens of a genotype; `GenotypeError` where it is not of this space."""

    @abc.abstractmethod
    def decode(self, tokens: Sequence[int]) -> Genotype:
        """Inverts `encode`; `GenotypeError` names position and rule of a bad token."""

    @abc.abstractmethod
    def plan(self, genotype: Genotype) -> Plan:
        """Returns what the compiler builds: cells as a `NetworkPlan`, or a plan of your own."""

    @abc.abstractmethod
    def canonical(self, genotype: Genotype) -> Genotype:
        """Returns the one representative of all genotypes that give the same network.

        Same means equal up to a permutation of channels: swapped branches, renumbered nodes,
        parts that cannot reach the output.
        """

    @abc.abstractmethod
    def to_json(self, genotype: Genotype) -> dict[str, Any]:
        """Returns a JSON object that `from_json` reads; it holds `"space": name`."""

    @abc.abstractmethod
    def from_json(self, value: Mapping[str, Any]) -> Genotype:
        """Reads `to_json`'s object; `SpaceError` for another space, else `GenotypeError`."""

    def key(self, genotype: Genotype) -> str:
        """Returns a short text that is equal for equal networks; used against duplicates."""
        text = json.dumps(self.to_json(self.canonical(genotype)), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def describe(self, genotype: Genotype) -> str:
        """Returns a network in words, of one line; empty where its JSON or a drawing says more."""
        del genotype
        return ""

    def wider(self, genotype: Genotype) -> Genotype | None:
        """Returns the next wider network of the same shape; None where the space has none."""
        del genotype
        return None

    def sample(self, rng: np.random.Generator) -> Genotype:
        """Draws every position uniformly and independently from its choices."""
        return self.decode([int(rng.choice(options)) for options in self.choices])

    def mutate(self, genotype: Genotype, rng: np.random.Generator) -> Genotype:
        """Changes one random position to another of its choices (uniform over both).

        What is no genotype then is repaired.
        """
        tokens = np.array(self.encode(genotype), np.int32)
        free = [i for i, options in enumerate(self.choices) if len(options) > 1]
        position = int(rng.choice(free))
        others = [t for t in self.choices[position] if t != tokens[position]]
        changed = tokens.copy()
        changed[position] = rng.choice(others)
        return self.decode(self.repair(changed[None], without=tokens[None])[0].tolist())

    def sample_tokens(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draws `[count, L]` int32 tokens as `sample` draws genotypes, many at once."""
        columns = [rng.choice(options, count) for options in self.choices]
        return np.stack(columns, axis=1).astype(np.int32)

    def all_tokens(self, limit: int) -> np.ndarray | None:
        """Returns `[N, L]` int32 tokens of every genotype; None where there are over `limit`."""
        if math.prod(len(options) for options in self.choices) > limit:
            return None
        grid = np.meshgrid(*[np.array(options) for options in self.choices], indexing="ij")
        return np.stack(grid, axis=-1).reshape(-1, len(self.choices)).astype(np.int32)

    def repair(self, tokens: np.ndarray, without: np.ndarray | None = None) -> np.ndarray:
        """Returns `[M, L]` tokens; sequences that are no genotype are replaced by a near one.

        Args:
          tokens: `[M, L]`, each token allowed at its position.
          without: `[S, L]` genotypes that need not be a replacement, such as those seen.
        """
        del without  # every sequence is a genotype here; a space of a table has more to do
        return tokens

    def canonical_tokens(self, tokens: np.ndarray) -> np.ndarray:
        """Returns `[M, L]` tokens of the same networks, which a predictor learns from.

        A space may give choices that count for nothing one value, so that equal networks look
        equal; by default tokens stay as they are.
        """
        return tokens

    def features(self, tokens: np.ndarray) -> tuple[tuple[np.ndarray, ...], ...]:
        """Returns what a predictor may read off architectures, beside their tokens.

        A space that knows more than the tokens say, such as which edges lie on a path, gives it
        here, and the surrogate `graph` learns from that; by default there is nothing.

        Args:
          tokens: `[N, L]`.

        Returns:
          Blocks, each of groups of finite numbers `[N, F]`, as many for any tokens. The numbers of
          a group are of one kind; a predictor makes groups, and then blocks, equally large.
        """
        del tokens
        return ()

    def mask(self) -> np.ndarray:
        """Returns `[L, V]` bool: which tokens may stand at each position."""
        mask = np.zeros((len(self.choices), len(self.vocabulary)), dtype=bool)
        for position, options in enumerate(self.choices):
            mask[position, list(options)] = True
        return mask

    def check_json_space(self, value: Any, where: str) -> None:
        """Raises unless `value` is an object of this space; `where` opens the message."""
        if not isinstance(value, Mapping):
            raise GenotypeError(f"{where} is a JSON object. Got {value!r:.80}.")
        if value.get("space") != self.name:
            raise SpaceError(
                f"{where}: the genotype is of space {value.get('space')!r:.80}, but space "
                f"{self.name!r} is needed; pass the matching --space."
            )
