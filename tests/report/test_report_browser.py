"""A browser opens the page, sorts and filters; without Chromium this skips."""

import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from report_cases import finished_study, make_study, two_cell_study
from test_report_answers import NAMES, make_tested, study_with

from xfernas_jax.report.figures import PIXELS_PER_INCH, POINTS
from xfernas_jax.report.folder import write_report

selenium = pytest.importorskip("selenium", reason="selenium is not installed (extra dev)")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="no chromium and chromedriver (.ci/system-packages installs them)",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    others = (make_study([0.25, 0.5], "b", optimizer="random"),)
    folder = tmp_path_factory.mktemp("report") / "r"
    return write_report(folder, finished_study(others=others)).as_uri()


@pytest.fixture(scope="module")
def two_cell_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("two_cell") / "r"
    return write_report(folder, two_cell_study()).as_uri()


@pytest.fixture(scope="module")
def tested_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(tmp_path_factory.mktemp("tested") / "r", study_with()).as_uri()


def set_width(browser: Any, pixels: int) -> None:
    size = {"width": pixels, "height": 900, "deviceScaleFactor": 1, "mobile": pixels < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def column(browser: Any, number: int) -> list[str]:
    script = (
        "return [...document.querySelectorAll('#evaluations tbody tr:not([hidden])')]"
        f".map(row => row.cells[{number}].textContent)"
    )
    return browser.execute_script(script)


def sort_by(browser: Any, name: str) -> Any:
    headings = browser.find_elements("css selector", "#evaluations th")
    heading = next(h for h in headings if h.text.split("\n")[0].strip("▲▼ \u2002") == name)
    heading.find_element("css selector", "button").send_keys("\n")  # by keyboard
    return heading


def test_the_page_sorts_filters_and_asks_for_nothing(browser: Any, page: str) -> None:
    from selenium.webdriver.support.select import Select

    set_width(browser, 1280)
    browser.get_log("performance")
    browser.get(page)
    assert browser.title == "own: architecture search for digits"
    assert column(browser, 0) == ["0", "1", "2", "3", "4", "5", "6", "7", "0", "1"]

    heading = sort_by(browser, "seconds")
    assert heading.get_attribute("aria-sort") == "ascending"
    heading = sort_by(browser, "parameters")
    numbers = [100, 200, 300, 400, 500, 600, 700, 700, 700, 800]  # as numbers, not as text
    assert column(browser, 6) == [str(n) for n in numbers]
    sort_by(browser, "parameters")
    assert heading.get_attribute("aria-sort") == "descending"
    assert column(browser, 6) == [str(n) for n in reversed(numbers)]
    sorted_headings = browser.find_elements("css selector", "th:not([aria-sort=none])[aria-sort]")
    assert len(sorted_headings) == 1

    sort_by(browser, "predicted")  # what is not known stays at the end, either way
    assert column(browser, 5)[-2:] == ["", ""]
    sort_by(browser, "predicted")
    assert column(browser, 5)[:2] == ["0.88", "0.75"]
    assert column(browser, 5)[-2:] == ["", ""]

    field = browser.find_element("id", "filter")
    field.send_keys("Confirm")
    assert column(browser, 3) == ["confirm", "confirm"]
    assert browser.find_element("id", "count").text == "2 of 10 lines"
    field.clear()
    for status, count in (("failed", 1), ("stopped", 1), ("complete", 8)):
        Select(browser.find_element("id", "status")).select_by_visible_text(status)
        assert column(browser, 2) == [status] * count

    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert page in asked
    assert [url for url in asked if url != page and not url.startswith("data:")] == []


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_cut_off_and_texts_in_pictures_are_large_enough(
    browser: Any, page: str, two_cell_page: str, width: int
) -> None:
    set_width(browser, width)
    for url, num_pictures in ((page, 12), (two_cell_page, 7)):
        browser.get(url)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        script = "return [...document.images].map(image => [image.width, image.naturalWidth])"
        shown = browser.execute_script(script)
        assert len(shown) == num_pictures
        for pixels, natural in shown:
            assert pixels / (natural / PIXELS_PER_INCH) * POINTS / 72 >= 10.0


def test_the_policy_keeps_the_page_from_the_network(
    browser: Any, page: str, tmp_path: pathlib.Path
) -> None:
    text = pathlib.Path(page.removeprefix("file://")).read_text()
    changed = tmp_path / "changed.html"
    changed.write_text(text.replace("<h1>", "<img src='other.png'><h1>", 1))
    browser.get_log("browser")
    browser.get(changed.as_uri())
    assert "Content Security Policy" in browser.get_log("browser")[0]["message"]


@pytest.mark.parametrize("pixels", [1280, 400])
def test_a_person_reads_the_confusion_matrix_from_the_page(
    browser: Any, tested_page: str, pixels: int
) -> None:
    set_width(browser, pixels)
    browser.get(tested_page)
    script = (
        "return [...document.querySelectorAll('#confusions tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    found = {(row[0], row[1]): int(row[2]) for row in browser.execute_script(script)}
    for i, label in enumerate(NAMES):
        for j, predicted in enumerate(NAMES):
            assert found.get((label, predicted), 0) == make_tested().confusion[i, j]
    overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(overflow) <= 0
    for name in ("confusion", "calibration", "mistakes", "confused", "learning_curves"):
        shown = browser.find_element("css selector", f"#{name} img")
        assert shown.size["width"] > 250
        assert browser.execute_script("return arguments[0].naturalWidth > 0", shown)
