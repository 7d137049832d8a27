"""Writes the folder of a report, whole or not at all.

report.html       the page; needs nothing else
figures/          its pictures as .png and .svg
data/             the data behind each picture, and the page's tables, as .csv
"""

import os
import pathlib
import secrets
import shutil
from collections.abc import Sequence

from xfernas_jax.errors import ReportError
from xfernas_jax.report.figures import render
from xfernas_jax.report.page import MARK, render_page
from xfernas_jax.report.section import Section
from xfernas_jax.report.sections import SECTIONS, MakeSection, make_sections
from xfernas_jax.report.study import SearchStudy

PAGE = "report.html"
_NAMES = frozenset({PAGE, "figures", "data"})


def check_folder(folder: pathlib.Path) -> None:
    """Raises `ReportError` where the folder holds anything but an earlier report."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ReportError(
            f"--output_dir={folder} is no folder that can be written ({error.strerror}); name "
            "another."
        ) from error
    if names and not _is_report(folder, names):
        raise ReportError(
            f"--output_dir={folder} is not empty and holds no report; name a new folder."
        )


def write_report(
    folder: pathlib.Path, study: SearchStudy, makers: Sequence[MakeSection] = ()
) -> pathlib.Path:
    """Writes a report and returns the path of its page; an earlier report is replaced.

    Args:
      folder: new, empty, or of an earlier report.
      study: of the report.
      makers: of its sections, see `find_sections`; all of ours by default.

    Raises:
      ReportError: the folder holds something else, or cannot be written.
    """
    check_folder(folder)
    folder = folder.resolve()
    files = _files(study, make_sections(study, makers or tuple(SECTIONS.values())))
    token = secrets.token_hex(6)
    partial, old = (
        folder.with_name(f".{folder.name[:100]}.{token}.{end}") for end in ("tmp", "old")
    )
    try:
        for name, data in files.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(data)
        if folder.exists():
            os.replace(folder, old)
        os.replace(partial, folder)
    except OSError as error:
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        raise ReportError(
            f"--output_dir={folder} cannot be written ({error.strerror or error}); name another "
            "folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
    return folder / PAGE


def _files(study: SearchStudy, sections: Sequence[Section]) -> dict[str, bytes]:
    """Returns the content of every file, by its path in the folder."""
    files: dict[str, bytes] = {}
    images = {}
    for section in sections:
        for picture in section.pictures:
            png, svg = render(picture.draw)
            images[picture.name] = png
            files[f"figures/{picture.name}.png"] = png
            files[f"figures/{picture.name}.svg"] = svg
            files[f"data/{picture.name}.csv"] = picture.table.to_csv().encode(errors="replace")
        if (listing := section.listing) is not None:
            files[f"data/{listing.name}.csv"] = listing.table.to_csv().encode(errors="replace")
    files[PAGE] = render_page(study, sections, images).encode(errors="replace")
    return files


def _is_report(folder: pathlib.Path, names: Sequence[str]) -> bool:
    if not set(names) <= _NAMES or PAGE not in names:
        return False
    try:
        with (folder / PAGE).open("rb") as page:
            return MARK.encode() in page.read(2000)
    except OSError:
        return False
