"""One controller for each study, whatever happens to processes and clocks."""

import contextlib
import dataclasses
import importlib
import secrets
import signal
import threading
import time

import pytest
import sqlalchemy
from history_space import get_space, make_evaluation, make_spec

from xfernas_jax.errors import LeaseError, StorageError
from xfernas_jax.history import lease
from xfernas_jax.history.holder import this_process
from xfernas_jax.history.storage import Storage


def execute(storage, statement, **values):
    with storage._database.engine.begin() as connection:
        result = connection.execute(sqlalchemy.text(statement), values)
        return result.scalar() if result.returns_rows else None


def expiry(storage) -> float:
    found = execute(storage, "SELECT expires FROM xfernas_jax_leases")
    assert found is not None
    return found


def set_holder(storage, text):
    execute(storage, "UPDATE xfernas_jax_leases SET holder = :text", text=text)


def let_seconds_pass(storage, seconds):
    execute(storage, "UPDATE xfernas_jax_leases SET expires = expires - :s", s=seconds)


ELSEWHERE = dataclasses.replace(this_process(), host="node7", user="ann", machine="another boot")


def test_a_second_controller_is_refused_and_told_who_is_the_first(open_storage):
    first, second = open_storage(), open_storage()
    own = this_process()
    with first.control("study"):
        with pytest.raises(LeaseError) as caught, second.control("study"):
            pass
        with second.control("another"):
            pass
    text = str(caught.value)
    assert f"'study' is controlled by {own.user}@{own.host} (pid {own.pid}) since 20" in text
    assert "--take_over" in text
    assert "\n" not in text


def test_a_former_controller_records_nothing_more(open_storage):
    former, new = open_storage(), open_storage()
    with former.control("study"):
        former.create_or_open(make_spec())
        former.append("study", make_evaluation(0))
        former.set_result("study", {"by": "former"})
        with new.control("study", take_over=True):
            for record in (
                lambda: former.append("study", make_evaluation(1)),
                lambda: former.set_result("study", {"by": "former, again"}),
            ):
                with pytest.raises(LeaseError, match=r"was taken over by .* records no more"):
                    record()
            new.append("study", make_evaluation(2))
        with pytest.raises(LeaseError, match="another process, which has ended"):
            former.append("study", make_evaluation(1))
        assert former.evaluations("study") == (make_evaluation(0), make_evaluation(2))
        assert former.result("study") == {"by": "former"}
        assert new.evaluations("study") == former.evaluations("study")


def test_a_former_controller_creates_no_study(open_storage):
    former, new = open_storage(), open_storage()
    with former.control("study"), new.control("study", take_over=True):
        with pytest.raises(LeaseError):
            former.create_or_open(make_spec())
        assert new.studies() == ()


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_control_ends_with_its_block_however_that_ends(open_storage, error):
    first, second = open_storage(), open_storage()
    expected = pytest.raises(error) if error else contextlib.nullcontext()
    with expected, first.control("study"):
        if error:
            raise error
    with second.control("study"):
        second.create_or_open(make_spec())
    first.append("study", make_evaluation(0))  # who controls nothing is not held back
    assert second.evaluations("study") == (make_evaluation(0),)


def test_the_lease_of_another_machine_ends_when_it_is_not_renewed(open_storage):
    first, second = open_storage(), open_storage()
    with first.control("study"):
        set_holder(first, ELSEWHERE.to_json())
        let_seconds_pass(first, lease.LEASE_SECONDS - 20)
        with pytest.raises(LeaseError, match=r"ann@node7 .* its lease ends in (1.|20) s"):
            second.control("study").__enter__()
        let_seconds_pass(first, 21)
        with second.control("study"), pytest.raises(LeaseError):
            first.set_result("study", {})


def test_a_controller_of_this_machine_keeps_its_study_whatever_the_clock_says(open_storage):
    first, second = open_storage(), open_storage()
    with first.control("study"):
        let_seconds_pass(first, 1e6)
        with pytest.raises(LeaseError, match=r"UTC\. Let it end"):
            second.control("study").__enter__()


def test_a_controller_that_slept_goes_on_unless_another_took_its_study(open_storage):
    storage = open_storage()
    with storage.control("study"):
        storage.create_or_open(make_spec())
        let_seconds_pass(storage, 1e6)
        before = expiry(storage)
        storage.append("study", make_evaluation(0))
        assert expiry(storage) > before + 1e6 - 1


def test_a_damaged_holder_can_be_taken_over(open_storage):
    first, second = open_storage(), open_storage()
    with first.control("study"):
        set_holder(first, "{")
        with pytest.raises(LeaseError, match=r"unknown@unknown .* its lease ends in"):
            second.control("study").__enter__()
        with second.control("study", take_over=True):
            pass


def test_a_lease_is_renewed_while_its_holder_waits(open_storage, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.02)
    storage = open_storage()
    with storage.control("study"):
        before, end = expiry(storage), time.monotonic() + 10
        while expiry(storage) == before:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_a_controller_that_waits_is_woken_when_it_is_taken_over(open_storage, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.02)
    main = threading.main_thread().ident
    assert main is not None
    former, new = open_storage(), open_storage()
    begin = time.monotonic()
    with (
        pytest.raises(LeaseError, match="was taken over by"),
        former.control("study", on_lost=lambda: signal.pthread_kill(main, signal.SIGINT)),
        new.control("study", take_over=True),
    ):
        time.sleep(30)
    assert time.monotonic() - begin < 20


@pytest.mark.slow
def test_the_study_of_a_killed_controller_is_free_at_once_on_its_machine(open_storage, start_child):
    child = start_child("0", "1000000", "--control")
    while child.stdout.readline().strip() != "3":
        pass
    storage = open_storage()
    with pytest.raises(LeaseError, match=f"pid {child.pid}"):
        storage.control("study").__enter__()
    child.kill()
    child.wait()
    with storage.control("study"):
        storage.append("study", make_evaluation(164, seed=9))


@pytest.mark.slow
def test_a_process_that_is_taken_over_while_it_records_ends_at_once(open_storage, start_child):
    child = start_child("0", "1000000", "--control")
    while child.stdout.readline().strip() != "3":
        pass
    storage = open_storage()
    with storage.control("study", take_over=True):
        taken_over = storage.evaluations("study")
        rest, _ = child.communicate(timeout=60)
        assert child.returncode == 2
        assert "LeaseError: Study 'study' was taken over by" in rest.splitlines()[-1]
        assert storage.evaluations("study") == taken_over


@pytest.mark.slow
def test_of_processes_that_start_at_once_exactly_one_controls(open_storage, start_child):
    open_storage()  # so that they meet at the lease, not at the creation of the tables
    children = [start_child("0", "1000000", "--control") for _ in range(4)]
    first_lines = [child.stdout.readline() for child in children]
    assert first_lines.count("ready\n") == 1
    assert sum("is controlled by" in line for line in first_lines) == 3


def test_a_user_who_may_not_add_the_table_of_leases_is_told_who_may(postgres_url):
    psycopg = importlib.import_module("psycopg")
    user = f"user_{secrets.token_hex(6)}"
    users_url = postgres_url.replace("tester@", f"{user}@")
    with Storage(postgres_url, get_space=get_space) as storage:
        with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
            connection.execute("DROP TABLE xfernas_jax_leases")
            connection.execute(f"CREATE ROLE {user} LOGIN")
            for what in ("TABLES", "SEQUENCES"):
                connection.execute(f"GRANT ALL ON ALL {what} IN SCHEMA public TO {user}")
        with Storage(users_url, get_space=get_space) as other:
            other.create_or_open(make_spec())
            with (
                pytest.raises(StorageError, match="let the owner of the tables open the storage"),
                other.control("study"),
            ):
                pass
        Storage(postgres_url).close()
        with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
            connection.execute(f"GRANT ALL ON xfernas_jax_leases TO {user}")
        with Storage(users_url, get_space=get_space) as other, other.control("study"):
            other.append("study", make_evaluation(0))
            with pytest.raises(LeaseError, match="is controlled by"):
                storage.control("study").__enter__()
