"""Genotype files: a genotype that the file really holds, or one line."""

import json
import pathlib
import pickle
from collections.abc import Callable

import numpy as np
from hostile_guard import CANARY, Bait, cases, refused, sandbox
from hostile_values import damaged, mutated, to_text
from hypothesis import example, given
from hypothesis import strategies as st

from xfernas_jax.space import SPACES, read_genotype, read_space_name

VALID = [
    space.to_json(space.sample(np.random.default_rng(seed)))
    for seed, space in enumerate(SPACES.values())
]


@cases(200)
@given(st.sampled_from(VALID).flatmap(mutated), st.sampled_from(sorted(SPACES)))
def test_a_changed_genotype_is_read_right_or_refused(value: object, name: str) -> None:
    with sandbox() as work:
        file = work / "genotype.json"
        file.write_text(to_text(value))
        refused(lambda: read_space_name(file))
        was_refused, genotype = refused(lambda: read_genotype(file, SPACES[name]))
        if not was_refused:
            assert SPACES[name].to_json(genotype) == json.loads(file.read_text())


@cases(60)
@given(st.sampled_from(VALID).flatmap(lambda value: damaged(json.dumps(value).encode())))
def test_damaged_bytes_are_read_right_or_refused(data: bytes) -> None:
    with sandbox() as work:
        file = work / "genotype.json"
        file.write_bytes(data)
        for space in SPACES.values():
            was_refused, genotype = refused(lambda space=space: read_genotype(file, space))
            if not was_refused:
                assert space.to_json(genotype) == json.loads(data)


@cases(40)
@given(st.sampled_from(VALID).flatmap(mutated))
@example({"space": f"{CANARY}:NAME"})
def test_train_answers_a_changed_genotype_in_one_line(command: Callable, value: object) -> None:
    with sandbox() as work:
        (work / "genotype.json").write_text(to_text(value))
        words = (f"--genotype={work}/genotype.json", "--dataset=npz:absent.npz")
        command("train", *words, f"--workdir={work}/runs")
        assert not (work / "runs").exists()


def test_any_depth_is_refused(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "genotype.json"
    for depth in [*range(1, 1000), 100_000]:
        file.write_text(f'{{"space": {"[" * depth}{"]" * depth}}}')
        assert refused(lambda: read_genotype(file, SPACES["nao5"]))[0]


@cases(10)
@given(st.integers(0, 5), st.booleans())
def test_pickles_are_never_loaded(protocol: int, is_after_json: bool) -> None:
    with sandbox() as work:
        head = json.dumps(VALID[0]).encode() if is_after_json else b""
        (work / "genotype.json").write_bytes(head + pickle.dumps(Bait(work / "sprung"), protocol))
        assert refused(lambda: read_genotype(work / "genotype.json", SPACES["nao5"]))[0]
        assert not (work / "sprung").exists()
