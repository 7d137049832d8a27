"""What a user's own code may do to the process, and what of it is put back."""

import io
import os
import pathlib
import signal
import sys
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest

from xfernas_jax.errors import DatasetError, FlagError
from xfernas_jax.user_code import load_user_object, unchanged_process


@pytest.fixture
def module(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Writes a module of the user's and returns its name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    written: list[str] = []

    def write(text: str) -> str:
        written.append(f"user_module_{len(written)}_{tmp_path.name.replace('-', '_')}")
        (tmp_path / f"{written[-1]}.py").write_text(f"{text}\nVALUE = 1\n")
        return written[-1]

    yield write
    for name in written:
        sys.modules.pop(name, None)


def load(name: str) -> Any:
    return load_user_object(f"{name}:VALUE", "objective", FlagError)


@pytest.mark.parametrize("code", ["0", "3", "'bye'", ""])
def test_a_module_that_ends_the_program_is_one_line(module: Any, code: str) -> None:
    with pytest.raises(FlagError, match="ends the program when it is imported") as refused:
        load(module(f"import sys\nsys.exit({code})"))
    assert "__name__ == '__main__'" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_module_that_reads_the_command_line_sees_none_of_our_flags(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "search", "--objective=x:y"])
    text = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--rate', default=3)\n"
    assert load(module(text + "assert p.parse_args().rate == 3")) == 1
    assert sys.argv == ["run.py", "search", "--objective=x:y"]
    needs = "import argparse\np = argparse.ArgumentParser()\np.add_argument('file')\np.parse_args()"
    with pytest.raises(FlagError, match="ends the program"):
        load(module(needs))


def test_a_flag_of_ours_that_a_module_defines_again_is_one_line(module: Any) -> None:
    import xfernas_jax.cli.flags  # noqa: F401  # defines ours

    text = "from absl import flags\nflags.DEFINE_integer('seed', 0, 'Mine.')"
    with pytest.raises(FlagError, match=r"DuplicateFlagError.*seed"):
        load(module(text))


def test_what_a_module_changes_when_it_is_imported_is_put_back(
    module: Any, tmp_path: pathlib.Path
) -> None:
    before = os.getcwd()
    assert load(module(f"import os\nos.chdir({str(tmp_path)!r})")) == 1
    assert os.getcwd() == before


def test_all_that_ours_relies_on_is_put_back(tmp_path: pathlib.Path) -> None:
    folder, streams, rules = os.getcwd(), (sys.stdout, sys.stderr), np.geterr()
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def changes_everything() -> None:
        os.chdir(tmp_path)
        sys.stdout = sys.stderr = io.StringIO()
        np.seterr(all="raise")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        jax.config.update("jax_enable_x64", True)
        raise KeyError

    with pytest.raises(KeyError), unchanged_process():
        changes_everything()
    assert (os.getcwd(), (sys.stdout, sys.stderr), np.geterr()) == (folder, streams, rules)
    now = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert now == handlers
    assert not jax.config.read("jax_enable_x64")


def test_a_data_set_of_the_users_may_change_folders(
    module: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xfernas_jax.data.base import DataConfig
    from xfernas_jax.data.registry import load_dataset

    name = module(f"import os\ndef mine():\n    os.chdir({str(tmp_path)!r})\n    return 3")
    before = os.getcwd()
    with pytest.raises(DatasetError, match=r"returns an ImageDataset\. Got int"):
        load_dataset(f"{name}:mine", DataConfig())
    assert os.getcwd() == before
