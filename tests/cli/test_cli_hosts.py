"""One training by two processes of this machine: the result of one, also after a loss of either."""

import dataclasses
import json
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import jax
import numpy as np
import pytest

from xfernas_jax.cli import last_words
from xfernas_jax.space import get_space, write_genotype
from xfernas_jax.space.nasbench201 import TopologyCell
from xfernas_jax.train.checkpoint import VariablesStore

CELL = TopologyCell(("nor_conv_1x1", "none", "identity", "none", "none", "identity"))
RECIPE = ["--set=train.epochs=16", "--set=network.filters=4", "--set=network.dropout_keep=0.8"]
RECIPE += ["--set=data.train_examples=512", "--silent_host_seconds=5"]
MISSING = "run.py: another process of this training is missing"
LEFT = "run.py: SIGTERM: Interrupted and saved"


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two processes of one training, each with a folder of its own."""

    processes: tuple[subprocess.Popen, subprocess.Popen]
    folders: tuple[pathlib.Path, pathlib.Path]

    def wait_for_steps(self, wanted: int) -> None:
        end = time.monotonic() + 180
        while not any(self.folders[0].glob(f"trainings/*/checkpoints/{wanted}")):
            assert time.monotonic() < end
            assert [p.poll() for p in self.processes] == [None, None]
            time.sleep(0.02)

    def outcome(self, which: int) -> tuple[int, str]:
        _, err = self.processes[which].communicate(timeout=180)
        return self.processes[which].returncode, err


@pytest.fixture
def start_pair(
    start_process: Callable[..., subprocess.Popen], tmp_path: pathlib.Path
) -> Callable[..., Pair]:
    file = tmp_path / "genotype.json"
    write_genotype(file, get_space("nasbench201"), CELL)

    def start(*words: str) -> Pair:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        folders = (tmp_path / "first", tmp_path / "second")
        first, second = (
            start_process(
                "train",
                f"--genotype={file}",
                f"--coordinator_address={address}",
                "--num_processes=2",
                f"--process_id={i}",
                f"--workdir={folder}",
                *RECIPE,
                *words,
                JAX_NUM_CPU_DEVICES="1",
            )
            for i, folder in enumerate(folders)
        )
        return Pair((first, second), folders)

    return start


def one_process(
    start_process: Callable[..., subprocess.Popen], tmp_path: pathlib.Path
) -> pathlib.Path:
    """Trains in one process with two devices; returns its folder."""
    words = ["train", f"--genotype={tmp_path / 'genotype.json'}", *RECIPE]
    work = tmp_path / "one"
    process = start_process(*words, f"--workdir={work}", JAX_NUM_CPU_DEVICES="2")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return work


def assert_equal(work: pathlib.Path, other: pathlib.Path) -> None:
    """Checks that two trainings ended with the same bits."""
    folders = [next((w / "trainings").iterdir()) for w in (work, other)]
    first, second = (json.loads((f / "result.json").read_text()) for f in folders)
    for field in ("losses", "curve", "valid_value", "test_value"):
        assert first[field] == second[field]
    kept = [VariablesStore(f).load("variables") for f in folders]
    assert kept[0] is not None
    jax.tree.map(np.testing.assert_array_equal, *kept)


@pytest.mark.slow
def test_two_processes_train_the_bits_of_one_with_two_devices_and_the_first_writes(
    start_pair: Callable[..., Pair],
    start_process: Callable[..., subprocess.Popen],
    tmp_path: pathlib.Path,
) -> None:
    pair = start_pair("--data_residence=stream")
    for which in (0, 1):
        assert pair.outcome(which) == (0, "")
    assert list(pair.folders[1].glob("*")) == []
    assert_equal(pair.folders[0], one_process(start_process, tmp_path))


@pytest.mark.repeat(
    "cli/test_cli_hosts.py::test_two_processes_train_the_bits_of_one_with_two_devices_and_the_first_writes"
)
@pytest.mark.slow
def test_a_lost_process_ends_the_other_and_all_go_on_when_started_again(
    start_pair: Callable[..., Pair],
    start_process: Callable[..., subprocess.Popen],
    tmp_path: pathlib.Path,
) -> None:
    # A stopped process is silent, as a host that lost power is; a killed one closes its sockets.
    for steps, lost, kind in ((8, 1, signal.SIGSTOP), (16, 0, signal.SIGKILL)):
        pair = start_pair()
        pair.wait_for_steps(steps)
        pair.processes[lost].send_signal(kind)
        start = time.monotonic()
        code, err = pair.outcome(1 - lost)
        assert time.monotonic() - start < 30  # 5 s of silence, and a slow machine
        assert code in (75, -signal.SIGABRT)
        assert err.startswith(MISSING)
        assert err.count("\n") == 1
        pair.processes[lost].kill()
        pair.processes[lost].communicate()
    pair = start_pair()
    pair.wait_for_steps(24)
    pair.processes[1].send_signal(signal.SIGTERM)
    for which in (0, 1):
        code, err = pair.outcome(which)
        assert code == 128 + signal.SIGTERM, err
        assert err.startswith(LEFT)
        assert err.count("\n") == 1
    pair = start_pair()
    assert [pair.outcome(which) for which in (0, 1)] == [(0, ""), (0, "")]
    assert_equal(pair.folders[0], one_process(start_process, tmp_path))


@pytest.mark.slow
def test_a_mistake_of_one_process_is_told_by_both(
    start_pair: Callable[..., Pair], tmp_path: pathlib.Path
) -> None:
    pair = start_pair("--output=/dev/null/x.json")
    for which in (0, 1):
        code, err = pair.outcome(which)
        assert code == 2, err
        assert err.startswith("run.py: --output=/dev/null/x.json")
        assert err.count("\n") == 1


@pytest.mark.slow
def test_no_cluster_is_one_line(
    start_process: Callable[..., subprocess.Popen], tmp_path: pathlib.Path
) -> None:
    process = start_process("train", "--coordinator_address=auto", f"--workdir={tmp_path}")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert err.startswith("run.py: --coordinator_address=auto")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\nb"),
        ("a\nF1124 20:56 1 client.h:80] Terminating process because the JAX distributed service "
         "detected fatal errors.\n*** Check failure stack trace: ***\n", "a\nlast\n"),
        ("E1 9 coordination_service.cc:1] a\nb\n", "E1 9 coordination_service.cc:1] a\nb\n"),
        ("E1 9 coordination_service.cc:1] a\nb\nlast\n", "last\n"),
        ("last\nF1124 x] the JAX distributed service\n@ 0x0\n", "last\n"),
    ],
)  # fmt: skip
def test_what_is_said_on_an_abort_is_one_line(text: str, shown: str) -> None:
    script = pathlib.Path(last_words.__file__)
    done = subprocess.run(
        [sys.executable, "-S", str(script), "last"], input=text, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("", shown)
