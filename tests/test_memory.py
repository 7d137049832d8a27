import pathlib

import psutil
import pytest

from xfernas_jax import memory


@pytest.fixture
def container(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    return tmp_path


def test_without_a_limit_it_is_the_machines(container: pathlib.Path) -> None:
    assert memory.total_memory() == psutil.virtual_memory().total
    assert 0 < memory.free_memory() <= memory.total_memory()
    (container / "memory.max").write_text("max\n")
    assert memory.total_memory() == psutil.virtual_memory().total


def test_a_containers_limit_counts_and_what_caches_files_is_free(container: pathlib.Path) -> None:
    (container / "memory.max").write_text("1000\n")
    (container / "memory.current").write_text("700\n")
    (container / "memory.stat").write_text("anon 300\ninactive_file 400\n")
    assert memory.total_memory() == 1000
    assert memory.free_memory() == 1000 - (700 - 400)


def test_a_container_that_holds_more_than_its_limit_has_nothing_free(
    container: pathlib.Path,
) -> None:
    (container / "memory.max").write_text("1000\n")
    (container / "memory.current").write_text("1200\n")
    (container / "memory.stat").write_text("")
    assert memory.free_memory() == 0
