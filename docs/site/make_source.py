"""Puts the pages of the documentation site together: `make docs` calls it.

    python docs/site/make_source.py build/site

The documents of the repository keep their places, so that their links to one another stay true. A
page for each public name shows its docstring, and one has the programs of `examples/`. Files that a
page links to and that are no pages come with it; where they cannot be shown the link is only words.
"""

import pathlib
import re
import shutil
import sys

import xfernas_jax

ROOT = pathlib.Path(__file__).resolve().parents[2]
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")

_GOALS = {
    "Start": ("README.md", "docs/QUICKSTART.md", "BUILD.md", "docs/DATA.md", "docs/FAQ.md"),
    "Do": (
        *("docs/SOURCES.md", "docs/COSTS.md", "docs/LOOPS.md", "docs/REPORT.md"),
        *("docs/EXTENDING.md", "examples/README.md"),
    ),
    "Understand": ("docs/TRANSFER.md", "docs/RESULTS.md", "docs/DESIGN.md", "docs/RELIABILITY.md"),
    "Project": ("CONTRIBUTING.md", "CHANGELOG.md"),
}
"""Documents by what a reader is after."""


def documents() -> list[pathlib.Path]:
    """Returns the documents that become pages, relative to the root."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("examples/*.md"), *ROOT.glob("docs/*.md")]
    found += ROOT.glob("experiments/**/*.md")
    return sorted(file.relative_to(ROOT) for file in found)


def as_page(document: pathlib.Path, source: pathlib.Path) -> str:
    """Returns a document's text; what it links to is copied, or the link becomes words."""

    def turn(match: re.Match[str]) -> str:
        mark, words, target, _ = match.groups()
        file = (ROOT / document.parent / target).resolve()
        if "://" in target or file.suffix == ".md":
            return match[0]
        if not file.is_file():
            return words
        if mark:
            copy = source / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
            return match[0]
        return f"{words} (`{file.relative_to(ROOT)}` in the repository)"

    return _LINK.sub(turn, (ROOT / document).read_text())


def examples() -> str:
    """Returns the programs, each with its text."""
    files = sorted((ROOT / "examples").glob("*.py"))
    return "\n".join(f"## {file.name}\n\n```python\n{file.read_text()}```\n" for file in files)


def reference(name: str) -> str:
    """Returns the page of a public name."""
    value = getattr(xfernas_jax, name)
    kind = "autoclass" if isinstance(value, type) else "autofunction"
    if not callable(value):
        kind = "autodata"
    lines = [f"# {name}", "", "```{eval-rst}", f".. {kind}:: xfernas_jax.{name}", "```", ""]
    return "\n".join(lines)


def contents(names: list[str], pages: list[pathlib.Path]) -> str:
    """Returns the first page: every other one, by what a reader is after."""
    named = {page for group in _GOALS.values() for page in group}
    groups = {title: list(group) for title, group in _GOALS.items()}
    groups["Measurements"] = [str(page) for page in pages if str(page) not in named]
    groups["Measurements"].remove("docs/API.md")
    groups["Reference"] = ["docs/API.md", *(f"reference/{name}.md" for name in names)]
    text = "# xfernas_jax\n\nTransfer neural architecture search in JAX.\n"
    for title, group in groups.items():
        text += f"\n```{{toctree}}\n:caption: {title}\n:maxdepth: 1\n\n"
        text += "\n".join(group) + "\n```\n"
    return text


def main() -> None:
    """Writes the pages into the folder that the command names."""
    source = pathlib.Path(sys.argv[1]).resolve()
    shutil.rmtree(source, ignore_errors=True)
    pages = documents()
    for page in pages:
        (source / page).parent.mkdir(parents=True, exist_ok=True)
        (source / page).write_text(as_page(page, source))
    with (source / "examples" / "README.md").open("a") as file:
        file.write("\n" + examples())
    names = sorted(name for name in xfernas_jax.__all__ if not name.startswith("_"))
    (source / "reference").mkdir()
    for name in names:
        (source / "reference" / f"{name}.md").write_text(reference(name))
    (source / "index.md").write_text(contents(names, pages))


if __name__ == "__main__":
    main()
