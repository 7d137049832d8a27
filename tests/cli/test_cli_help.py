"""The public face: help by verb, flags that a verb does not use, and the three ways to start."""

import importlib
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from absl import flags as absl_flags
from absl.testing import flagsaver
from command import run_here

from xfernas_jax import __version__
from xfernas_jax.cli import verbs
from xfernas_jax.cli.flags import parse
from xfernas_jax.cli.verbs import GROUPS, VERBS
from xfernas_jax.evaluate.runtime import Runtime
from xfernas_jax.options import flag_names

ROOT = pathlib.Path(__file__).resolve().parents[2]
USERS = [*{user: None for users in GROUPS.values() for names in users.values() for user in names}]
CONSOLE = "import sys; from xfernas_jax.cli.main import main; sys.exit(main())"
COUNT_HEAVY = """
import sys
from xfernas_jax.cli.main import guarded
assert guarded(["search", "--help"]) == 0
heavy = ("jax", "flax", "optax", "optuna", "sqlalchemy", "ray", "tensorflow", "matplotlib")
print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""


def start(*words: str, folder: pathlib.Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_flag_of_ours_is_used_by_a_verb_and_each_used_one_exists() -> None:
    own = absl_flags.FLAGS.flags_by_module_dict()["xfernas_jax.cli.flags"]
    defined = {*(flag.name for flag in own), *flag_names(Runtime)}
    listed = [name for users in GROUPS.values() for name in users]
    assert sorted(listed) == sorted(defined)
    assert set(USERS) == set(VERBS) - {""}


@pytest.mark.parametrize("name", list(VERBS))
def test_each_verb_can_be_imported(name: str) -> None:
    module, _, function = VERBS[name].address.partition(":")
    assert callable(getattr(importlib.import_module(f"xfernas_jax.cli.{module}"), function))


@pytest.mark.parametrize("name", [name for name in VERBS if name])
def test_the_help_of_a_verb_shows_its_flags_and_no_other(name: str) -> None:
    done = run_here((*name.split(), "--help"))
    shown = {
        line.split()[0].removeprefix("--").removeprefix("[no]").partition("=")[0]
        for line in done.out.splitlines()
        if line.startswith("  --")
    }
    wanted = {flag for users in GROUPS.values() for flag, names in users.items() if name in names}
    assert (done.code, shown) == (0, wanted)


def test_the_help_says_unit_and_default() -> None:
    out = run_here(("train", "--help")).out
    assert "--silent_host_seconds=INT  (default: 60)" in out
    assert "repeat this option" not in out


def test_without_a_verb_the_help_lists_the_verbs() -> None:
    out = run_here(("--help",)).out
    for name, verb in VERBS.items():
        assert f"run.py {name}".rstrip() in out
        assert verb.summary in out


def test_the_full_help_shows_every_flag() -> None:
    out = run_here(("--helpfull",)).out
    for users in GROUPS.values():
        for name in users:
            assert f"{name}" in out


def test_the_help_of_a_verb_loads_nothing_heavy_and_takes_less_than_two_seconds() -> None:
    before = os.times()
    done = start("-c", COUNT_HEAVY)
    after = os.times()
    assert done.stderr.strip() == "[]"
    spent = after.children_user + after.children_system
    assert spent - before.children_user - before.children_system < 2.0


def test_a_flag_of_another_verb_has_no_effect_but_a_line(
    tmp_path: pathlib.Path, run_command: Callable
) -> None:
    done = run_command("history", "list", "--budget_evaluations=3", f"--workdir={tmp_path}")
    first, second = done.err.splitlines()
    assert first == "run.py: --budget_evaluations is for `search`; `history list` does not use it."
    assert "does not exist" in second
    assert list(tmp_path.iterdir()) == []


def test_the_demo_takes_the_flags_of_search() -> None:
    flags = [name for _, names in verbs.groups_of(VERBS[""]) for name in names]
    assert flags == [name for _, names in verbs.groups_of(VERBS["search"]) for name in names]


@pytest.mark.parametrize(
    "words", [("-m", "xfernas_jax"), (str(ROOT / "run.py"),), ("-c", CONSOLE)], ids=str
)
def test_the_version_is_told_from_any_folder(
    words: tuple[str, ...], tmp_path: pathlib.Path
) -> None:
    done = start(*words, "--version", folder=tmp_path)
    assert (done.stdout, done.stderr) == (f"xfernas_jax {__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "program"),
    [(("-m", "xfernas_jax"), "xfernas"), ((str(ROOT / "run.py"),), "run.py"),
     (("-c", CONSOLE), "xfernas")],
    ids=str,
)  # fmt: skip
def test_a_message_names_the_program_that_was_started(
    words: tuple[str, ...], program: str, tmp_path: pathlib.Path
) -> None:
    done = start(*words, "serach", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{program}: Unknown command 'serach'. Did you mean search? ")


@pytest.mark.slow
def test_the_console_command_searches_by_modules_of_the_current_folder(
    tmp_path: pathlib.Path,
) -> None:
    cases = (pathlib.Path(__file__).parent / "objective_cases.py").read_text()
    (tmp_path / "mine.py").write_text(cases)
    words = ["search", "--objective=mine:distance", "--space=mine:SPACE", "--optimizer=random"]
    done = start("-c", CONSOLE, *words, "--budget_evaluations=2", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "history.db").is_file()


def documented() -> list[str]:
    """Returns the commands of ours in the documents' blocks, each on one line."""
    files = [ROOT / "README.md", ROOT / "BUILD.md", *sorted(ROOT.glob("docs/*.md"))]
    blocks = [
        block for f in files for block in re.findall(r"```bash\n(.*?)```", f.read_text(), re.S)
    ]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    command = re.compile(r"(?:run\.py|bin/xfernas|-m xfernas_jax)((?: .*)?)$")
    found = map(command.search, lines)
    return [re.sub(r"\$\w+", "1", match[1].partition(" #")[0]) for match in found if match]


@pytest.mark.parametrize("command", sorted(set(documented())))
def test_documented_commands_use_flags_of_their_verbs(command: str) -> None:
    words = shlex.split(re.sub(r'["&]', "", command).partition(" > ")[0])
    with flagsaver.flagsaver():
        absl_flags.FLAGS.unparse_flags()
        verb, _ = verbs.find(parse(["run.py", *words])[1:])
        assert verbs.unused_flags(verb) == []


def test_documents_hold_commands() -> None:
    assert len(documented()) > 20


def test_a_reader_that_has_enough_ends_the_command_without_a_word() -> None:
    words = [sys.executable, "-m", "xfernas_jax", "--helpfull"]
    reading, writing = os.pipe()
    os.close(reading)  # as `| true` does
    try:
        done = subprocess.run(
            words, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_too_little_memory_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: verbs.Verb, words: object) -> None:
        raise MemoryError("Unable to allocate 8.00 TiB for an array")

    monkeypatch.setattr(verbs.Verb, "run", run)
    done = run_here(("history", "list"))
    assert done.code == 2
    assert "There is not enough memory: Unable to allocate 8.00 TiB" in done.err
    assert "--set=data.image_size=N" in done.err
