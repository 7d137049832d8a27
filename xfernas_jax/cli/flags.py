"""All flags; which verb uses which is in `verbs.py`. Nothing heavy is imported."""

import os
from collections.abc import Sequence

from absl import flags

from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.runtime import Runtime
from xfernas_jax.options import define_flags

DATASET = flags.DEFINE_string(
    "dataset",
    "digits",
    "Data set of the task: digits, fashion_mnist, mnist_5k, a TFDS name, npz:FILE, folder:PATH or "
    "module:FUNCTION of your own.",
)
OBJECTIVE = flags.DEFINE_string(
    "objective",
    None,
    "module:FUNCTION of your own that scores architectures, instead of trainings: it takes the "
    "JSON object of an architecture (and a seed, where it has a parameter of that name) and "
    "returns a number, larger is better.",
)
METRIC = flags.DEFINE_string(
    "metric",
    "accuracy",
    "What networks are measured by: accuracy, balanced_accuracy, macro_f1, log_loss (in nats), or "
    "module:NAME of your own.",
)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of prepared TFDS sets.")
SPACE = flags.DEFINE_string(
    "space",
    None,
    "Search space: whole networks for images of any size (convnet), cells (nasbench201, nao5, "
    "nao11, nasnet), or module:NAME of your own; by default convnet, or where --recipe is one of "
    "cells nasbench201 (cpu, proxy, final) or nao5 (cpu_two_cell). `train` takes that of the "
    "genotype.",
)
OPTIMIZER = flags.DEFINE_string(
    "optimizer",
    "xfer_nao",
    "Search optimizer: random, evolution, nao, bananas or predictor_evolution; xfer_nao, "
    "xfer_bananas and xfer_predictor_evolution are the same with sources; module:NAME is your own.",
)
SURROGATE = flags.DEFINE_string(
    "surrogate",
    "head",
    "What predicts values: head (a network learns the sources, a Bayesian head the target), joint "
    "(one network is trained on all, as we read XferNAS), or module:NAME of your own.",
)
ARCHITECTURE_NUMBERS = flags.DEFINE_string(
    "architecture_numbers",
    None,
    "module:NAME of a function from tokens [N, L] to numbers [N, F] that are known before "
    "training, such as parameters or a zero-cost score; --surrogate=head learns what they tell.",
)
ENCODER = flags.DEFINE_string("encoder", "mlp", "Encoder of the predictor: mlp, or lstm as in NAO.")
SOURCES = flags.DEFINE_string(
    "sources",
    "all",
    "Histories to learn from: all (every other task in this space), none, or study names "
    "separated by commas.",
)
REUSE_TARGET = flags.DEFINE_bool(
    "reuse_target", False, "Also learn from earlier studies of the same task."
)
BUDGET = flags.DEFINE_integer(
    "budget_evaluations",
    24,
    "Architectures to evaluate in all; under --recipe=auto, where this is left out, as many as "
    "--time_budget has time for.",
    lower_bound=1,
)
SCHEDULE = flags.DEFINE_string(
    "schedule",
    None,
    "When the optimizer is asked: rounds (for a batch, once the last one is in; results are the "
    "same bits with any number of workers), async (for one architecture whenever a worker is "
    "free: the budget is spent in half to two thirds of the time), or module:NAME of your own; by "
    "default rounds with one worker, async with several.",
)
BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 4, "Architectures that are suggested at once, in rounds.", lower_bound=1
)
EARLY_STOP = flags.DEFINE_enum(
    "early_stop",
    "none",
    ["none", "median", "asha"],
    "Stops architectures whose learning curve falls behind, beyond the first quarter of the "
    "epochs: none; median (after any epoch, below the median of what was evaluated, or below what "
    "the sources' curves say); asha (at a few epochs, half each).",
)
MAX_PARAMS = flags.DEFINE_integer(
    "max_params",
    None,
    "Most trainable parameters of an architecture; larger ones are not trained.",
    lower_bound=1,
)
MAX_FLOPS = flags.DEFINE_float(
    "max_flops",
    None,
    "Most floating-point operations for one image, by XLA's count (a multiply-add is two); "
    "larger architectures are not trained.",
)
MAX_LATENCY_MS = flags.DEFINE_float(
    "max_latency_ms",
    None,
    "Longest time to classify one image on the device that evaluates, measured there; what turns "
    "out slower is learned from and cannot win.",
)
MAX_COST = flags.DEFINE_multi_string(
    "max_cost",
    [],
    "NAME=LIMIT, the most of any cost that --costs takes, such as params=5000. May be repeated.",
)
PARETO = flags.DEFINE_string(
    "pareto",
    "none",
    "Searches for the best trades against this cost, one that --costs takes; the result lists "
    "them. The best by the metric are confirmed.",
)
COSTS = flags.DEFINE_list(
    "costs",
    [],
    "Costs that are recorded beside parameters, for later searches to learn from: flops, "
    "latency_ms, or module:NAME of your own. Those that limits or --pareto name are recorded "
    "anyhow.",
)
TIME_BUDGET = flags.DEFINE_string(
    "time_budget",
    None,
    "Time that a search of --recipe=auto may take, from reading the data to the tested network, as "
    "in 90s, 10m or 1.5h; by default 10m, or no limit where --budget_evaluations is given.",
)
REFERENCES = flags.DEFINE_enum(
    "references",
    "auto",
    ["auto", "none"],
    "Known networks that --recipe=auto trains first and a search compares with: auto (VGG-like, "
    "ResNet and MobileNet-like ones; in a search those of a cost that fits the time) or none.",
)
MEMBERS = flags.DEFINE_integer(
    "members",
    4,
    "Trainings of the network to take away, at most, as far as --time_budget leaves time: the mean "
    "of their answers is better than each, and takes as many times longer to predict. 1: one.",
    lower_bound=1,
)
RECIPE = flags.DEFINE_string(
    "recipe",
    None,
    "How architectures are trained: auto (by the data, the device and --time_budget), one of cells "
    "(cpu, cpu_two_cell, proxy, final), or module:NAME of your own; by default auto in the space "
    "convnet, cpu_two_cell in one with a reduction cell, and else cpu.",
)
SET = flags.DEFINE_multi_string(
    "set", [], "Changes one recipe value, as in --set=train.epochs=10. May be repeated."
)
INITIAL_VARIABLES = flags.DEFINE_string(
    "initial_variables",
    None,
    "Folder of an earlier network that `export` wrote: trainings start from its variables where "
    "names and shapes agree, and a search tries that network too.",
)
DRY_RUN = flags.DEFINE_bool(
    "dry_run",
    False,
    "Says what was found in the data and what would be done, and ends: trains and writes nothing.",
)
STORAGE = flags.DEFINE_string(
    "storage", None, "URL of the record; by default a SQLite file in --workdir."
)
STUDY = flags.DEFINE_string("study", None, "Name of the study; by default task and a hash.")
TAKE_OVER = flags.DEFINE_bool(
    "take_over",
    False,
    "Takes the study from the process that controls it, which then ends.",
)
YES = flags.DEFINE_bool("yes", False, "Deletes without asking.")
REMOVE = flags.DEFINE_bool("remove", False, "Takes the tags away in place of adding them.")
SEED = flags.DEFINE_integer(
    "seed", 0, "Of everything random.", lower_bound=0, upper_bound=2**32 - 1
)
WORKDIR = flags.DEFINE_string("workdir", "runs", "Folder for everything that is written.")
OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "JSON file for the result; of `predict` a .csv or .json file (by default it prints CSV).",
)
MODEL = flags.DEFINE_list(
    "model", [], "Folder of an exported network; of several the mean probability counts."
)
CONFIRM_SEEDS = flags.DEFINE_integer(
    "confirm_seeds",
    3,
    "Trainings of each of the three finalists at the end; --recipe=auto has a full training of the "
    "best instead.",
    lower_bound=1,
)
NUM_ARCHITECTURES = flags.DEFINE_integer(
    "num_architectures", 60, "Architectures to evaluate in all.", lower_bound=1
)
NUM_REPEATED = flags.DEFINE_integer(
    "num_repeated",
    0,
    "The first of --num_architectures that are trained with a second seed too; they tell how far "
    "chance moves a value.",
    lower_bound=0,
)
GENOTYPE = flags.DEFINE_string(
    "genotype",
    None,
    "JSON file of the genotype to train, as `search` writes such files, or published:NAME with "
    "naonet, naonet_b, nasbench201_best, vgg_like, resnet8, resnet14, resnet20 or mobilenet_like.",
)
CHECKPOINT_EPOCHS = flags.DEFINE_integer(
    "checkpoint_epochs", 1, "Epochs between two checkpoints.", lower_bound=1
)
COORDINATOR_ADDRESS = flags.DEFINE_string(
    "coordinator_address",
    None,
    "HOST:PORT where the first process listens, the same in every process; or auto, where Slurm, a "
    "TPU pod, Kubernetes or Open MPI tells JAX all of it.",
)
NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "Processes of the training in all.", lower_bound=1
)
PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "Number of this process, from 0; process 0 writes.", lower_bound=0
)
SILENT_HOST_SECONDS = flags.DEFINE_integer(
    "silent_host_seconds",
    60,
    "Seconds after which a silent process counts as lost and ends all others.",
    lower_bound=5,
)
EXECUTOR = flags.DEFINE_string(
    "executor",
    "local",
    "Where architectures are trained: local (the devices of this machine), ray (those of the Ray "
    "cluster at --ray_address), or module:NAME of your own.",
)
RAY_ADDRESS = flags.DEFINE_string(
    "ray_address",
    None,
    "The Ray cluster of --executor=ray: HOST:PORT of its head, or auto for the one that this "
    "machine is a node of; by default a Ray of this machine alone, which ends with the command.",
)
DEVICES_PER_EVALUATION = flags.DEFINE_integer(
    "devices_per_evaluation",
    None,
    "Devices that train one architecture; as many evaluations run side by side as the machine, or "
    "the Ray cluster, has devices for. By default 1 accelerator, or all CPU devices of the "
    "machine, or 1 CPU of a Ray cluster without accelerators.",
    lower_bound=1,
)
COMPILE_AHEAD = flags.DEFINE_enum(
    "compile_ahead",
    "auto",
    ["auto", "on", "off"],
    "Whether the next architecture compiles while one trains, where evaluations do not run side by "
    "side; auto: beside an accelerator.",
)
OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    "New folder of `export`, or folder of `report` (by default in --workdir, with the study; an "
    "earlier report there is replaced).",
)
SECTIONS = flags.DEFINE_list(
    "sections",
    [],
    "Sections of `report`, in this order: incumbent, references, finalists, architectures, trades, "
    "prediction, sources, cost, evaluations, or module:NAME of your own, a function from a "
    "xfernas_jax.report.study.SearchStudy to a Section; by default all of ours.",
)
EVALUATION = flags.DEFINE_integer(
    "evaluation",
    None,
    "Number (from 0) of the study's evaluation to take, which is trained again; by default the "
    "best network, as the search trained it.",
    lower_bound=0,
)
TEST_IMAGES = flags.DEFINE_enum(
    "test_images",
    "auto",
    ["auto", "yes", "no"],
    "Whether the test images come along: yes, no (a script that loads them does), or "
    "auto (no for TFDS sets, whose licences differ).",
)
FORMAT = flags.DEFINE_enum(
    "format",
    "stablehlo",
    ["stablehlo", "onnx"],
    "Of the exported program: StableHLO, for JAX, or also ONNX (needs the extra onnx), checked "
    "against the network in onnxruntime.",
)
TENSORBOARD_DIR = flags.DEFINE_string(
    "tensorboard_dir",
    None,
    "Folder for TensorBoard event files: learning curves, the incumbent and a row of the HParams "
    "page for each evaluation; by default none are written.",
)
MLFLOW_URI = flags.DEFINE_string(
    "mlflow_uri",
    None,
    "Where MLflow keeps runs: a folder, sqlite:///FILE or the address of a tracking server. A run "
    "for each study, and within it one for each evaluation; needs the extra mlflow.",
)
FILE = flags.DEFINE_string("file", None, "JSON Lines file.")

define_flags(flags, Runtime)

_SPACE_OF_RECIPE = {
    "cpu": "nasbench201",
    "cpu_two_cell": "nao5",
    "proxy": "nasbench201",
    "final": "nasbench201",
}  # which size cells


def parse(argv: Sequence[str]) -> list[str]:
    """Parses flags as absl does, with every mistake a `FlagError`."""
    try:
        return flags.FLAGS(list(argv))
    except flags.Error as error:
        text = " ".join(str(error).split())
        raise FlagError(f"{text} Add --help to the command for its flags.") from error


def given(name: str) -> bool:
    """Tells whether a flag was named on the command line."""
    return bool(flags.FLAGS[name].present)


def space_name() -> str:
    """Returns --space; where it is left out, convnet, or the cells that --recipe sizes."""
    if SPACE.value is not None:
        return SPACE.value
    return _SPACE_OF_RECIPE.get(RECIPE.value or "", "convnet")


def command(verb: str) -> str:
    """Returns the command that was given, without what is of this machine: folders and URLs."""
    words = ["python run.py", verb]
    decisive = (
        "dataset",
        "objective",
        "metric",
        "space",
        "recipe",
        "set",
        "references",
        "members",
        "max_params",
        "max_flops",
        "num_architectures",
        "num_repeated",
        "seed",
    )
    for name in (*decisive, "study"):
        if given(name):
            value = flags.FLAGS[name].value
            for item in value if isinstance(value, list) else [value]:
                kind, colon, path = str(item).partition(":")
                is_path = name == "dataset" and colon and kind in ("npz", "folder")
                shown = f"{kind}:{os.path.basename(path.rstrip('/'))}" if is_path else item
                words.append(f"--{name}={shown}")
    return " ".join(words)
