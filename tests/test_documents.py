"""Every code block of README, BUILD.md and docs/ is run, in order, in a checkout of its own.

A block is `bash`, run by bash; `python`, run by Python, or written to FILE where its first line is
`# FILE`; or `text`, which holds no command. `<!-- not run: REASON -->` on the line before a block
leaves it out.
"""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "BUILD.md", *ROOT.glob("docs/**/*.md")])

ALWAYS_RUN = {"README.md", "docs/EXTENDING.md"}
"""Documents whose blocks `make test` runs; those of the others `make test-all` runs too."""

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: .+ -->\s*$")
_FILE = re.compile(r"# (\w+\.py)\n")
_COMMAND = re.compile(r"^\s*(?:\$ |python |make |pip |\.venv/|apt)", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of code: its language, its text, and whether it is to be run."""

    language: str
    text: str
    is_run: bool


def blocks_of(text: str) -> list[Block]:
    return [
        Block(found[1], found[2], not _NOT_RUN.search(text[: found.start()]))
        for found in _BLOCK.finditer(text)
    ]


def checkout(folder: pathlib.Path, source_fits: pathlib.Path) -> pathlib.Path:
    """Copies what git knows or would take, and links .venv and the fits on sources."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / "runs").mkdir()
    (folder / "runs" / "predictor_cache").symlink_to(source_fits)
    return folder


def _case(file: pathlib.Path) -> Any:
    name = str(file.relative_to(ROOT))
    repeats = pytest.mark.repeat(
        "cli/test_cli_help.py::test_documented_commands_use_flags_of_their_verbs"
    )
    return pytest.param(file, id=name, marks=[] if name in ALWAYS_RUN else [repeats])


def run_block(block: Block, folder: pathlib.Path) -> None:
    file = _FILE.match(block.text)
    if block.language == "python" and file:
        (folder / file[1]).write_text(block.text)
        return
    words = ["bash", "-euo", "pipefail", "-c", block.text]
    if block.language == "python":
        words = [str(ROOT / ".venv/bin/python"), "-c", block.text]
    done = subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        # The make that runs the tests hands its ARGS on to each make below it.
        env={**os.environ, "JAX_PLATFORMS": "cpu", "MAKEFLAGS": ""},
    )
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def source_fits(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder for fits on sources, so that the documents' searches fit the same ones once."""
    return tmp_path_factory.mktemp("source_fits")


@pytest.mark.slow
@pytest.mark.skipif(
    pathlib.Path(sys.prefix) != ROOT / ".venv", reason="runs under `make test`, in .venv"
)
@pytest.mark.parametrize("file", [_case(file) for file in DOCUMENTS])
def test_every_block_runs(
    file: pathlib.Path, tmp_path: pathlib.Path, source_fits: pathlib.Path
) -> None:
    blocks = blocks_of(file.read_text())
    wanted = [block for block in blocks if block.is_run and block.language != "text"]
    if wanted:
        folder = checkout(tmp_path, source_fits)
        for block in wanted:
            run_block(block, folder)


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_blocks_say_what_they_are(file: pathlib.Path) -> None:
    text = file.read_text()
    blocks = blocks_of(text)
    assert text.count("\n```") == 2 * len(blocks)
    for block in blocks:
        assert block.language in ("bash", "python", "text"), block.text
        assert block.language != "text" or not _COMMAND.search(block.text), block.text


def test_a_block_is_left_out_where_a_comment_says_why() -> None:
    text = "```bash\na\n```\n\n<!-- not run: why -->\n```bash\nb\n```\n<!-- not run:  -->\n"
    text += "```python\nc\n```\n"
    assert [(block.text, block.is_run) for block in blocks_of(text)] == [
        ("a\n", True),
        ("b\n", False),
        ("c\n", True),
    ]


@pytest.mark.parametrize(
    ("language", "text"), [("bash", "true\nfalse\ntrue\n"), ("python", "assert 1 == 2\n")]
)
def test_a_block_that_fails_is_found(language: str, text: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(AssertionError):
        run_block(Block(language, text, True), tmp_path)
