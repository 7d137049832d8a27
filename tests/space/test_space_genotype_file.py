"""Genotype files are read strictly and written in full or not at all."""

import json
import os
import pathlib

import numpy as np
import pytest
from space_cases import CASES

from xfernas_jax.errors import GenotypeError, SpaceError
from xfernas_jax.space import NAONET, SPACES, read_genotype, write_genotype

NAO11 = SPACES["nao11"]


@pytest.mark.parametrize("name", sorted(CASES))
def test_read_inverts_write(name: str, tmp_path: pathlib.Path) -> None:
    space = CASES[name]
    genotype = space.sample(np.random.default_rng(0))
    write_genotype(tmp_path / "best.json", space, genotype)
    assert read_genotype(tmp_path / "best.json", space) == genotype
    assert os.listdir(tmp_path) == ["best.json"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r":1:1: not JSON"),
        (b'{"space": "nao11",\n  "normal" []}', r":2:12: not JSON"),
        (b'{"space": "nao11"}', r": A two-cell genotype .* Missing: normal, reduction"),
        (b"[1, 2]", r": genotype is a JSON object"),
        (b"NaN", r": not a genotype \(NaN is not allowed"),
        (b"\xff\xfe", r": .*UTF-8 text, but byte 0"),
        (b"[" * 100_000, r": not a genotype \(nested too deep"),
        (b"1" * 10_000, r": not a genotype"),
        (b" " * 2**20 + b"{}", r": the genotype file cannot be read \(File too large"),
    ],
)
def test_a_broken_file_names_itself_and_the_place(
    tmp_path: pathlib.Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "broken.json"
    file.write_bytes(content)
    with pytest.raises(GenotypeError, match=rf"broken\.json{reason}") as caught:
        read_genotype(file, NAO11)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_space_is_refused_by_name(tmp_path: pathlib.Path) -> None:
    write_genotype(tmp_path / "naonet.json", NAO11, NAONET)
    with pytest.raises(SpaceError, match=r"naonet\.json: .*'nao11'.*'nao5'"):
        read_genotype(tmp_path / "naonet.json", SPACES["nao5"])


def test_missing_files_and_folders_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(GenotypeError, match=r"none\.json: .*No such file"):
        read_genotype(tmp_path / "none.json", NAO11)
    with pytest.raises(GenotypeError, match="cannot be read"):
        read_genotype(tmp_path, NAO11)
    (tmp_path / "file").touch()
    with pytest.raises(GenotypeError, match="cannot be written"):
        write_genotype(tmp_path / "file" / "a.json", NAO11, NAONET)
    write_genotype(tmp_path / "new" / "a.json", NAO11, NAONET)
    assert read_genotype(tmp_path / "new" / "a.json", NAO11) == NAONET


def test_a_write_that_breaks_off_leaves_the_old_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "best.json"
    write_genotype(file, NAO11, NAONET)
    before = file.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(GenotypeError, match="No space left"):
        write_genotype(file, NAO11, NAO11.sample(np.random.default_rng(0)))
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["best.json"]


def test_a_genotype_of_another_space_is_not_written(tmp_path: pathlib.Path) -> None:
    with pytest.raises(GenotypeError):
        write_genotype(tmp_path / "a.json", SPACES["nao5"], NAONET)
    assert os.listdir(tmp_path) == []


def test_the_file_is_plain_json(tmp_path: pathlib.Path) -> None:
    write_genotype(tmp_path / "a.json", NAO11, NAONET)
    value = json.loads((tmp_path / "a.json").read_text())
    assert value["normal"][0] == {"inputs": [0, 1], "ops": ["conv_3x3", "avg_pool_5x5"]}
