"""The project's own files: locks, licence, change log, documentation, and what they name."""

import gzip
import pathlib
import re
import subprocess
import tomllib

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from xfernas_jax import __version__

ROOT = pathlib.Path(__file__).resolve().parents[1]
LOCKS = ROOT / ".ci" / "locks"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = sorted(PROJECT["optional-dependencies"])
PYTHONS = ("3.11.0", "3.12.0", "3.13.0")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def read_lock(file: pathlib.Path) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def pins(lock: list[Requirement], name: str, python: str) -> list[str]:
    """Returns the versions of `name` that `lock` installs on this system with `python`."""
    environment = {
        **default_environment(),
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
    }
    return [
        next(iter(pin.specifier)).version
        for pin in lock
        if canonicalize_name(pin.name) == canonicalize_name(name)
        and (pin.marker is None or pin.marker.evaluate(environment))
    ]


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def tracked_files() -> list[pathlib.Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("extra", ["core", *EXTRAS])
def test_each_dependency_has_one_fitting_pin(extra: str, python: str) -> None:
    lock = read_lock(ROOT / "requirements.txt")
    asked = PROJECT["dependencies"]
    if extra != "core":
        lock += read_lock(LOCKS / f"{extra}.txt")
        asked = PROJECT["optional-dependencies"][extra]
    for requirement in map(Requirement, asked):
        found = pins(lock, requirement.name, python)
        assert len(found) == 1, f"{requirement} has the pins {found}; run `make lock`"
        assert requirement.specifier.contains(found[0]), f"{requirement} is pinned to {found[0]}"


@pytest.mark.parametrize("file", [ROOT / "requirements.txt", *sorted(LOCKS.glob("*.txt"))])
def test_a_lock_holds_exact_pins_only(file: pathlib.Path) -> None:
    for pin in read_lock(file):
        assert [s.operator for s in pin.specifier] == ["=="], f"{file.name}: {pin}"
        assert pin.url is None


@pytest.mark.parametrize("python", PYTHONS)
def test_extras_agree_on_their_common_pins(python: str) -> None:
    locks = {file.stem: read_lock(file) for file in LOCKS.glob("*.txt")}
    for name in {pin.name for lock in locks.values() for pin in lock}:
        versions = {version for lock in locks.values() for version in pins(lock, name, python)}
        assert len(versions) <= 1, f"{name}: {versions}; run `make lock`"


def test_each_extra_has_a_lock_and_each_lock_an_extra() -> None:
    assert {file.stem.removesuffix("-no-deps") for file in LOCKS.glob("*.txt")} == set(EXTRAS)


def test_the_license_is_apache_2() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    head = (ROOT / "LICENSE").read_text().split()[:4]
    assert head == ["Apache", "License", "Version", "2.0,"]


def test_the_change_log_names_the_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert __version__ in headings


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    pattern = re.compile(rb"(?<![\w.}-])/(?:work|root)/|pyenv[/]versions")
    for file in tracked_files():
        data = file.read_bytes()
        if file.suffix == ".gz":
            data = gzip.decompress(data)
        found = pattern.search(data)
        assert not found, f"{file.relative_to(ROOT)} contains {found[0].decode()}"


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_documents_name_real_make_targets(file: pathlib.Path) -> None:
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", file.read_text(), re.DOTALL))
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", code))
    assert named <= make_targets()


def test_a_repeat_names_the_test_that_shows_the_same_in_less_time() -> None:
    tests = ROOT / "tests"
    marks = re.compile(r"mark\.repeat\(([^)]*)\)")
    named = [name for file in tests.rglob("test_*.py") for name in marks.findall(file.read_text())]
    assert named
    for name in named:
        file, _, function = re.sub(r'["\s]', "", name).partition("::")
        assert f"def {function}(" in (tests / file).read_text(), name
