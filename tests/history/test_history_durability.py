"""What a killed or a second process may do to the record."""

import random
import time

import pytest
from history_space import index_of, make_evaluation, make_spec, numbered_evaluation

from xfernas_jax.history.storage import Storage


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(3))
def test_killed_process_loses_nothing_it_called_durable(open_storage, start_child, attempt):
    child = start_child("0", "1000000")
    assert child.stdout.readline() == "ready\n"
    time.sleep(random.uniform(0.02, 0.8))  # a random instant, other in every run
    child.kill()
    printed = [int(line) for line in child.stdout.read().splitlines() if line]
    assert child.wait() == -9, "the child ended before it was killed: the test tests nothing"

    stored = open_storage().evaluations("study")
    assert len(stored) - len(printed) in (0, 1)  # the last may be durable and not yet printed
    assert stored == tuple(numbered_evaluation(index) for index in range(len(stored)))


@pytest.mark.slow
def test_rerun_after_a_kill_completes_the_study_exactly_once(open_storage, start_child):
    child = start_child("0", "1000000")
    while child.stdout.readline().strip() != "5":
        pass
    child.kill()
    child.wait()
    again = start_child("0", "12")
    again.communicate(timeout=60)
    assert again.returncode == 0
    stored = open_storage().evaluations("study")
    assert stored[:12] == tuple(make_evaluation(index) for index in range(12))
    assert len(set(stored)) == len(stored)


@pytest.mark.slow
def test_processes_that_record_the_same_keys_at_once_keep_each_once(open_storage, start_child):
    children = [start_child("0", "15") for _ in range(3)]  # they create the database together
    for child in children:
        child.communicate(timeout=120)
        assert child.returncode == 0
    storage: Storage = open_storage()
    assert sorted(storage.evaluations("study"), key=index_of) == [
        make_evaluation(index) for index in range(15)
    ]
    assert storage.summary("study").num_evaluations == 15


@pytest.mark.slow
def test_processes_that_record_different_keys_at_once_lose_none(open_storage, start_child):
    children = [start_child(str(first), str(first + 15)) for first in (0, 15, 30)]
    for child in children:
        child.communicate(timeout=120)
        assert child.returncode == 0
    stored = open_storage().evaluations("study")
    assert {index_of(e) for e in stored} == set(range(45))
    assert len(stored) == 45


@pytest.mark.slow
def test_searches_that_share_a_database_and_their_readers_do_not_disturb_each_other(
    open_storage, start_child
):
    open_storage().create_or_open(make_spec("pool"))
    searches = {
        name: start_child("0", "25", f"--study={name}", "--control") for name in ("one", "two")
    }
    users = [start_child(str(i), str(i + 15), "--study=pool") for i in (0, 15)]
    reader, running = open_storage(), [*searches.values(), *users]
    seen: dict[str, tuple] = {}
    while any(child.poll() is None for child in running):
        for spec in reader.studies():
            now, before = reader.evaluations(spec.name), seen.get(spec.name, ())
            assert now[: len(before)] == before  # what was read once stays as it was
            seen[spec.name] = now
    assert [child.returncode for child in running] == [0] * 4
    for name in searches:
        assert reader.evaluations(name) == tuple(make_evaluation(i) for i in range(25))
    pool = reader.evaluations("pool")
    assert sorted(map(index_of, pool)) == list(range(30))


def test_second_writer_with_a_stale_view_drops_the_equal_key(open_storage):
    first, second = open_storage(), open_storage()
    first.create_or_open(make_spec())
    second.create_or_open(make_spec())
    assert second.evaluations("study") == ()
    first.append("study", make_evaluation(3))
    second.append("study", make_evaluation(3, value=0.9))  # never saw the first
    assert second.evaluations("study") == (make_evaluation(3),)
    assert first.evaluations("study") == (make_evaluation(3),)
