"""Whether the process that a lease names still runs."""

import dataclasses
import os
import subprocess
import sys

import pytest

from xfernas_jax.history.holder import is_running, parse_holder, this_process

CODE = (
    "from xfernas_jax.history.holder import this_process\n"
    "print(this_process().to_json(), flush=True)\n"
    "input()"
)


def test_a_holder_comes_back_equal_and_names_user_host_and_process():
    holder = this_process()
    assert parse_holder(holder.to_json()) == holder
    assert str(holder) == f"{holder.user}@{holder.host} (pid {holder.pid})"


def test_a_process_runs_until_it_is_killed_even_where_nobody_has_waited_for_it():
    with subprocess.Popen(
        [sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        holder = parse_holder(child.stdout.readline())
        if not holder.machine:
            pytest.skip("this system has no /proc")
        assert holder.pid == child.pid
        assert is_running(holder) is True
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
        assert is_running(holder) is False
    assert is_running(holder) is False


def test_a_later_process_of_the_same_number_is_not_the_holder():
    holder = this_process()
    if not holder.machine:
        pytest.skip("this system has no /proc")
    assert is_running(dataclasses.replace(holder, started=holder.started - 1)) is False


@pytest.mark.parametrize(
    "change", [{"machine": ""}, {"machine": "another boot"}, {"pid": 0}, {"pid": 2**70}]
)
def test_of_what_is_not_a_process_of_this_machine_nothing_is_known(change):
    assert is_running(dataclasses.replace(this_process(), **change)) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"user": "a"}', '{"user": {}, "pid": "x"}'])
def test_a_damaged_holder_is_an_unknown_process(text):
    assert is_running(parse_holder(text)) is None
