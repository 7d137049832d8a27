"""The experiment on CIFAR-10 or CIFAR-100, as we read the paper: one command.

    python -m experiments.paper --target=cifar10 --workdir=runs/paper

Runs commands of `run.py` and prints each, so that it can be repeated by hand: random architectures
of Fashion-MNIST, Quickdraw and SVHN (once, for both targets), a search of the target that learns
from them, and one long training of what it found, on all training images, with 128 filters. The
test part is read by that training, at the end. `--dry_run` prints commands and expected cost.

Every command goes on where it stopped; so does this one. Data sets come through TFDS, which needs
TensorFlow to prepare them (`make setup EXTRAS=tf`); Quickdraw is a download of 37 GiB.
"""

import os
import pathlib
import shlex
import signal
import subprocess
import sys

from absl import flags

from experiments import commands
from experiments.paper_steps import Plan, Step, expected_cost, gather, shown, steps
from xfernas_jax.errors import FlagError
from xfernas_jax.history import Storage, default_storage_url
from xfernas_jax.options import define_flags, from_flags

define_flags(flags, Plan)
_WORKDIR = flags.DEFINE_string("workdir", "runs/paper", "Folder of everything; both targets share.")
_SET = flags.DEFINE_multi_string("set", [], "Changes a value of the recipe proxy.")
_FINAL_SET = flags.DEFINE_multi_string("final_set", [], "Changes a value of the recipe final.")
_PASS = flags.DEFINE_multi_string(
    "pass", [], "Another flag of every command of run.py, such as --pass=compile_ahead=off."
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Only print the commands and the expected cost.")
_PROXY_HOURS = flags.DEFINE_float(
    "proxy_gpu_hours",
    0.22,
    "GPU hours of a small training. The default is arithmetic, not a measurement: 0.71 GFLOP "
    "forward (XLA's count, mean of five random cells of nao11), three times that to train, 45,000 "
    "images, 25 epochs, at 3 TFLOP/s, a fifth of a V100's float32 peak.",
)
_FINAL_HOURS = flags.DEFINE_float(
    "final_gpu_hours",
    160.0,
    "GPU hours of the long training; the same arithmetic with 19.2 GFLOP, 50,000 images and 600 "
    "epochs.",
)

_RUN = pathlib.Path(__file__).resolve().parents[1] / "run.py"


def plan_from_flags() -> Plan:
    """Reads the flags."""
    return from_flags(
        flags.FLAGS,
        Plan,
        workdir=pathlib.Path(_WORKDIR.value).expanduser().absolute(),
        changes=tuple(_SET.value),
        final_changes=tuple(_FINAL_SET.value),
        more=tuple(_PASS.value),
    )


def run_step(step: Step) -> None:
    """Runs one command and ends with it where it fails; SIGTERM reaches it, so that it saves."""
    print(f"\n$ python run.py {shlex.join(step.words)}", flush=True)
    with subprocess.Popen([sys.executable, str(_RUN), *step.words]) as process:
        before = signal.signal(signal.SIGTERM, lambda number, frame: process.send_signal(number))
        try:
            code = process.wait()
        except KeyboardInterrupt:  # the command has it from the terminal, too, and says so
            code = process.wait()
        finally:
            signal.signal(signal.SIGTERM, before)
    if code:
        print(f"paper: {step.words[0]} ended with code {code}.", file=sys.stderr)
        sys.exit(code if code > 0 else 128 - code)


def main() -> None:
    """Runs what is missing and writes the result."""
    plan = plan_from_flags()
    todo = steps(plan)
    print(expected_cost(todo, _PROXY_HOURS.value, _FINAL_HOURS.value), flush=True)
    if _DRY_RUN.value:
        for step in todo:
            print(f"\n$ python run.py {shlex.join(step.words)}")
        return
    for step in todo:
        run_step(step)
    with Storage(plan.storage or default_storage_url(plan.workdir), create=False) as storage:
        result = gather(plan, storage)
    file = plan.folder / "result.json"
    try:
        commands.write_json(file, result)
    except OSError as error:
        raise FlagError(f"{file} cannot be written ({error.strerror}).") from error
    print(f"\n{shown(result)}\nresult  {file}")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    commands.start("paper", main)
