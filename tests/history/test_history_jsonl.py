import gzip
import json
import os
import pathlib
import zlib

import pytest
from history_space import Chain, get_space, make_evaluation, make_failure, make_spec, make_stopped

from xfernas_jax.errors import HistoryError, SpaceError, UserError
from xfernas_jax.history.jsonl import read_header, read_jsonl, write_jsonl

EVALUATIONS = (make_evaluation(0), make_failure(1), make_stopped(2), make_evaluation(3))
PROVENANCE = {"command": "run.py collect --dataset=digits", "date": "2026-11-24"}


def write(file, evaluations=EVALUATIONS, **changes):
    write_jsonl(file, make_spec(**changes), evaluations, PROVENANCE, get_space=get_space)


def read(file):
    return read_jsonl(file, get_space=get_space)


def lines_of(file):
    return file.read_text().splitlines(keepends=True)


@pytest.mark.parametrize("name", ["history.jsonl", "history.jsonl.gz", "new/folder/history.jsonl"])
def test_reading_inverts_writing(tmp_path, name):
    write(tmp_path / name)
    assert read(tmp_path / name) == (make_spec(), EVALUATIONS)
    header = read_header(tmp_path / name)
    assert header.spec == make_spec()
    assert header.provenance == PROVENANCE
    assert header.num_evaluations == 4


def test_empty_study_is_a_file_of_one_line(tmp_path):
    write(tmp_path / "empty.jsonl", ())
    assert len(lines_of(tmp_path / "empty.jsonl")) == 1
    assert read(tmp_path / "empty.jsonl") == (make_spec(), ())


def test_first_line_says_what_the_file_is(tmp_path):
    write(tmp_path / "history.jsonl")
    header = json.loads(lines_of(tmp_path / "history.jsonl")[0])
    assert header["format"] == "xfernas_jax history"
    assert header["version"] == 2
    assert header["spec"]["name"] == "study"
    assert header["provenance"] == PROVENANCE


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_equal_content_gives_equal_bytes_under_any_name(tmp_path, ending):
    write(tmp_path / f"a.{ending}")
    write(tmp_path / f"b.{ending}")
    first = (tmp_path / f"a.{ending}").read_bytes()
    assert first == (tmp_path / f"b.{ending}").read_bytes()
    assert (first[:2] == b"\x1f\x8b") == ending.endswith("gz")


def damage_line(old, new):
    def change(lines):
        assert old in lines[2]
        return [*lines[:2], lines[2].replace(old, new), *lines[3:]]

    return change


@pytest.mark.parametrize(
    ("change", "place", "rule"),
    [
        (lambda lines: lines[:-1], 5, "ends after 3 of 4 evaluations, so it was cut off"),
        (lambda lines: [*lines[:-1], lines[-1][:50]], 5, "not one strict JSON value"),
        (lambda lines: [*lines, lines[-1]], 6, "announces 4 evaluations"),
        (lambda lines: lines[1:], 1, "the first line of a history has"),
        (lambda lines: [lines[0], "\n", *lines[1:]], 2, "not one strict JSON value"),
        (lambda lines: [lines[0], lines[1], lines[1], *lines[3:]], 3, "those of line 2"),
        (lambda lines: [lines[0].replace('"version":2}', '"version":3}')], 1, "version 3 is not"),
        (lambda lines: [lines[0].replace('"space":"chain"', '"space":7')], 1, "space is text"),
        (lambda lines: [lines[0].replace('"name":"study"', '"name":"../x"')], 1, "Study name"),
        (lambda lines: [], 1, "not one strict JSON value"),
        (damage_line('"value":null', '"value":NaN'), 3, "NaN is not allowed"),
        (damage_line('"curve":[0.25', '"curve":[1e999'), 3, "too large"),
        (damage_line('"curve":[0.25', '"curve":[2.5'), 3, "accuracy lies in"),
        (damage_line('"seed":0', '"seed":true'), 3, "seed is an integer"),
        (damage_line('"seed":0', '"sed":0'), 3, "Missing: .'seed'., unknown: .'sed'."),
        (damage_line('"space":"chain"', '"space":"nao5"'), 3, "of space 'nao5'"),
        (damage_line('"recipe":"recipe01"', '"recipe":"other"'), 3, "one recipe"),
        (damage_line('"ops":[', '"ops":[9,'), 3, "8 tokens"),
    ],
)
def test_broken_file_is_one_line_with_file_and_line(tmp_path, change, place, rule):
    file = tmp_path / "history.jsonl"
    write(file)
    file.write_text("".join(change(lines_of(file))))
    with pytest.raises(HistoryError, match=rule) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}:{place}: ")
    assert "\n" not in str(caught.value)


def test_compressed_file_cut_anywhere_is_refused(tmp_path):
    file = tmp_path / "history.jsonl.gz"
    write(file)
    data = file.read_bytes()
    for size in range(0, len(data), 7):
        file.write_bytes(data[:size])
        with pytest.raises(HistoryError, match=r"history.jsonl.gz:\d+: "):
            read(file)


def holds(data, text):
    try:
        return gzip.decompress(data) == text
    except (OSError, EOFError, zlib.error):
        return False


def test_any_flipped_bit_of_a_compressed_file_is_refused_or_changes_nothing(tmp_path):
    file = tmp_path / "history.jsonl.gz"
    write(file)
    data = bytearray(file.read_bytes())
    text = gzip.decompress(data)
    num_spare = 0  # bits that fill up the last byte of the compressed data
    for place in range(10, len(data), 5):  # the first 10 bytes are gzip's own header
        data[place] ^= 0x10
        file.write_bytes(data)
        if holds(data, text):
            num_spare += 1
        else:
            with pytest.raises(UserError):
                read(file)
        data[place] ^= 0x10
    assert num_spare <= 1


def test_plain_text_under_a_compressed_name_is_refused(tmp_path):
    file = tmp_path / "history.jsonl.gz"
    file.write_text("{}\n")
    with pytest.raises(HistoryError, match="compressed data is damaged"):
        read_header(file)


def test_endless_line_is_refused_before_it_fills_the_memory(tmp_path):
    file = tmp_path / "bomb.jsonl.gz"
    file.write_bytes(gzip.compress(b"[" * 2**25, mtime=0))
    with pytest.raises(HistoryError, match="a line has at most"):
        read(file)


@pytest.mark.parametrize("name", ["absent.jsonl", "."])
def test_file_that_cannot_be_read_is_refused(tmp_path, name):
    with pytest.raises(HistoryError, match="cannot be read"):
        read(tmp_path / name)


def test_space_that_is_not_known_here_is_refused_by_name(tmp_path):
    file = tmp_path / "history.jsonl"
    write(file)
    file.write_text(file.read_text().replace('"space":"chain"', '"space":"nao5"'))
    with pytest.raises(SpaceError, match="nao5"):
        read(file)


def test_equal_keys_are_not_written(tmp_path):
    file = tmp_path / "history.jsonl"
    write(file)
    before = file.read_bytes()
    twin = make_evaluation(9, genotype=Chain(tuple(reversed(make_evaluation(3).genotype.ops))))
    with pytest.raises(HistoryError, match=r"history.jsonl:6: .*those of line 5"):
        write(file, (*EVALUATIONS, twin))
    assert file.read_bytes() == before


def test_a_value_that_the_metric_does_not_have_is_not_written(tmp_path):
    file = tmp_path / "history.jsonl"
    with pytest.raises(HistoryError, match=r"history.jsonl:3: .*accuracy lies in"):
        write(file, (make_evaluation(0), make_evaluation(1, value=-7.5)))
    assert not file.exists()


@pytest.mark.parametrize("failing", ["replace", "fsync"])
def test_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch, failing):
    file = tmp_path / "history.jsonl"
    write(file, EVALUATIONS[:1])
    before = file.read_bytes()

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(HistoryError, match=r"cannot be written \(No space left on device\)"):
        write(file)
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["history.jsonl"]


def test_file_name_may_be_text_or_path(tmp_path):
    write(str(tmp_path / "a.jsonl"))
    assert read(str(tmp_path / "a.jsonl")) == read(pathlib.Path(tmp_path / "a.jsonl"))
