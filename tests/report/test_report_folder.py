import pathlib

import pytest
from report_cases import finished_study, make_study

from xfernas_jax.errors import ReportError
from xfernas_jax.report import folder as folder_module
from xfernas_jax.report.folder import check_folder, write_report

SMALL = make_study([None])  # has no picture to draw


def names(folder: pathlib.Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_the_folder_holds_page_pictures_and_data(tmp_path: pathlib.Path) -> None:
    page = write_report(tmp_path / "a" / "report", finished_study())
    assert page == tmp_path / "a" / "report" / "report.html"
    files = names(page.parent)
    pictures = {pathlib.Path(name).stem for name in files if name.startswith("figures/")}
    assert len(pictures) == 11
    for name in pictures:
        for file in (f"figures/{name}.png", f"figures/{name}.svg", f"data/{name}.csv"):
            assert file in files
    tables = {f"data/{name}.csv" for name in ("evaluations", "cost", "finalists")}
    assert tables <= set(files)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["report"]


def test_an_earlier_report_and_an_empty_folder_are_replaced(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    write_report(folder, SMALL)
    (folder / "data" / "old.csv").touch()
    write_report(folder, SMALL)
    assert names(folder) == ["data/cost.csv", "data/evaluations.csv", "report.html"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["mine.txt", "report.html"])
def test_what_is_not_ours_stays(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    for call in (check_folder, lambda f: write_report(f, SMALL)):
        with pytest.raises(ReportError, match="is not empty and holds no report"):
            call(tmp_path)
    with pytest.raises(ReportError, match="is no folder"):
        check_folder(tmp_path / name)
    assert names(tmp_path) == [name]
    write_report(tmp_path / "r", SMALL)
    (tmp_path / "r" / "notes.txt").touch()  # a user's, in a report of ours
    with pytest.raises(ReportError, match="not empty"):
        check_folder(tmp_path / "r")


def test_a_report_that_cannot_be_written_leaves_the_old_one(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "report"
    write_report(folder, SMALL)
    before = (folder / "report.html").read_bytes()
    replace = folder_module.os.replace

    def fail_on_new(source: pathlib.Path, target: pathlib.Path) -> None:
        if str(source).endswith(".tmp"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(folder_module.os, "replace", fail_on_new)
    with pytest.raises(ReportError, match="No space left"):
        write_report(folder, SMALL)
    assert (folder / "report.html").read_bytes() == before
    assert list(tmp_path.iterdir()) == [folder]


def test_names_that_no_file_can_hold_are_replaced(tmp_path: pathlib.Path) -> None:
    study = make_study([None], optimizer="lone surrogate \ud800")
    page = write_report(tmp_path / "r", study)
    assert "lone surrogate ?" in page.read_text()
