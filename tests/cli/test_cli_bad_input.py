"""A user's mistake: one line that names place, rule and way out, exit code 2, nothing written."""

import gzip
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest

from xfernas_jax.cli.train import _read_result
from xfernas_jax.errors import FlagError

ROOT = pathlib.Path(__file__).resolve().parents[2]
HISTORIES = sorted((ROOT / "experiments" / "histories").glob("*.jsonl.gz"))
CELLS = "--space=nasbench201"  # a search of whole networks first measures a speed
ALONE = ["--sources=none"]  # reading sources takes seconds
QUICK = [
    CELLS,
    "--set=train.epochs=1",
    "--set=data.train_examples=128",
    "--set=network.filters=4",
]


def check_refused(done, *parts: str) -> None:
    assert done.code == 2, done.out + done.err
    assert done.err.startswith("run.py: ")
    assert done.err.count("\n") == 1, done.err
    assert "Traceback" not in done.err
    for part in parts:
        assert part in done.err


def written(folder: pathlib.Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.slow
def test_devices_that_are_not_here_are_one_line(tmp_path: pathlib.Path) -> None:
    words = ["search", "--dataset=digits", CELLS, f"--workdir={tmp_path}", *ALONE, *QUICK]
    done = subprocess.run(
        [sys.executable, "run.py", *words],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cuda"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("run.py: ")]
    assert "JAX_PLATFORMS=cuda" in line


@pytest.mark.slow
def test_a_name_that_the_terminal_cannot_show_is_shown_in_part(tmp_path: pathlib.Path) -> None:
    code = (
        "import sys; from xfernas_jax.cli import main; "
        "sys.argv = ['run.py', 'search', '--dataset=folder:é', '--space=nasbench201']; "
        "sys.exit(main.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "\\xe9" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["serch"], ["serch", "Did you mean search?", "Known: search, collect, train"]),
        (["history", "lst"], ["Did you mean history list"]),
        (["history"], ["history list"]),
        (["search", "--budget_evaluations=ten"], ["budget_evaluations", "ten", "--help"]),
        (["search", "--budget_evaluations=0"], ["budget_evaluations", "0"]),
        (["search", "--no_such_flag=1"], ["no_such_flag", "--help"]),
        (["search", "--dataset=digit"], ["digit", "digits"]),
        (["search", "--dataset=npz:absent.npz"], ["absent.npz"]),
        (["search", "--dataset=folder:absent"], ["absent"]),
        (["search", "--space=nao55"], ["nao55", "nao5"]),
        (["search", "--space=nobody:SPACE"], ["nobody", "PYTHONPATH"]),
        (["search", "--recipe=cpuu"], ["cpuu", "cpu, cpu_two_cell, proxy, final"]),
        (["search", "--set=train.epoch=3"], ["train.epoch=3", "mean train.epochs", "PART.FIELD"]),
        (["search", "--set=train.epochs=0"], ["train.epochs", "at least 1"]),
        (["search", *ALONE, "--optimizer=xfer_nap"], ["xfer_nap", "xfer_nao"]),
        (["search", *ALONE, "--encoder=lstn"], ["lstn", "lstm"]),
        (["search", *ALONE, "--surrogate=heads"], ["heads", "head, joint"]),
        (
            ["search", *ALONE, "--schedule=round"],
            ["round", "Did you mean rounds?", "rounds, async"],
        ),
        (["search", "--metric=macro_f2"], ["macro_f2", "Did you mean macro_f1?"]),
        (["search", "--metric=math:pi"], ["math:pi", "--metric"]),
        (["search", "--pareto=flop"], ["flop", "Did you mean flops?"]),
        (["collect", "--costs=param"], ["param", "Did you mean params?"]),
        (["search", "--max_cost=params"], ["--max_cost=params", "NAME=LIMIT"]),
        (["search", "--max_cost=params=0"], ["--max_cost=params=0", "positive number"]),
        (["search", "--max_cost=params=9", "--max_params=9"], ["one limit", "params"]),
        (["search", *ALONE, "--architecture_numbers=flops"], ["flops", "module:NAME"]),
        (["search", *ALONE, "--architecture_numbers=math:pi"], ["math:pi", "function from tokens"]),
        (
            ["search", *ALONE, "--surrogate=joint", "--architecture_numbers=math:sqrt"],
            ["--surrogate=head"],
        ),
        (["search", "--sources=mnist"], ["mnist", "--sources"]),
        (["search", "--storage=sqlite:////dev/null/x.db"], ["/dev/null/x.db"]),
        (["search", "--storage=mysql://h/db"], ["sqlite", "postgresql"]),
        (["search", "--output=/dev/null/x.json"], ["--output=/dev/null/x.json"]),
        (["train"], ["--genotype"]),
        (["train", "--genotype=absent.json"], ["absent.json"]),
        (["train", "--genotype=published:resnet9"], ["resnet9", "Did you mean resnet8"]),
        (
            ["train", "--genotype=published:resnet8", "--space=nao5"],
            ["published:resnet8", "'convnet'", "'nao5'"],
        ),
        (
            ["search", "--space=convnet", "--set=network.filters=32"],
            ["--set=network.filters=32", "'convnet' do not read"],
        ),
        (["search", "--space=convnet", "--scan_cells"], ["scan_cells", "'convnet'"]),
        (["search", "--num_processes=2"], ["--num_processes is for `train`"]),
        (["train", "--num_processes=2"], ["--num_processes needs --coordinator_address"]),
        (["train", "--coordinator_address=h:1", "--process_id=0"], ["needs --num_processes"]),
        (["train", "--coordinator_address=auto", "--process_id=0"], ["auto", "--process_id"]),
        (
            ["train", "--coordinator_address=h", "--num_processes=2", "--process_id=0"],
            ["--coordinator_address=h", "HOST:PORT"],
        ),
        (
            ["train", "--coordinator_address=h:1", "--num_processes=2", "--process_id=2"],
            ["--process_id=2", "--num_processes=2"],
        ),
        (["train", "--silent_host_seconds=1"], ["silent_host_seconds", "1"]),
        (["history", "export"], ["--file"]),
        (["history", "list"], ["history.db"]),
        (["history", "import", "--file=absent.jsonl"], ["absent.jsonl"]),
        (["collect", "--set=train.batch_size=30"], ["train.batch_size", "4 devices", "multiple"]),
        (["search", "--ray_address=auto"], ["--ray_address=auto", "--executor=ray"]),
        (["search", "--executor=ray", "--devices_per_evaluation=3"], ["batch_size", "3 devices"]),
        (["search", "--evaluation_checkpoint_seconds=-1"], ["evaluation_checkpoint_seconds"]),
        (["search", "--devices_per_evaluation=3"], ["=3 does not divide the 4 cpu", "1, 2, 4"]),
        (["collect", "--devices_per_evaluation=0"], ["devices_per_evaluation", "0"]),
        (
            ["collect", "--num_architectures=3", "--num_repeated=4"],
            ["--num_repeated=4", "--num_architectures=3"],
        ),
        (["collect", "--depthwise=fft"], ["depthwise", "lax"]),
        (["collect", "--executor=rai"], ["executor", "local"]),
        (
            ["search", "--devices_per_evaluation=2", "--set=train.batch_size=31"],
            ["train.batch_size", "2 devices", "multiple"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    words: list[str], parts: list[str], run_command: Callable, tmp_path: pathlib.Path
) -> None:
    names_none = not any(word.startswith("--space") for word in words)
    cells = [CELLS] if words[0] in ("search", "collect") and names_none else []
    check_refused(run_command(*words, *cells, f"--workdir={tmp_path}"), *parts)
    left = [name for name in written(tmp_path) if not name.startswith("history.db")]
    assert left == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{", [":1:2: not JSON"]),
        ("[]", ['"space"']),
        ('{"space": "nasbench201"}', ["ops"]),
        ('{"space": "nao99"}', ["nao99"]),
        ('{"space": "nasbench201", "ops": ["none", "none"]}', ["ops"]),
        ('{"space": "nasbench201", "ops": "__import__(\'os\')"}', ["ops"]),
    ],
)
def test_a_genotype_file_that_does_not_parse_is_refused(
    text: str, parts: list[str], run_command: Callable, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "genotype.json"
    file.write_text(text)
    work = tmp_path / "work"
    check_refused(run_command("train", f"--genotype={file}", f"--workdir={work}"), *parts)
    assert not work.exists()


def damaged_history(file: pathlib.Path, change: Callable[[list[str]], None]) -> None:
    lines = gzip.decompress(HISTORIES[0].read_bytes()).decode().splitlines()
    change(lines)
    file.write_text("".join(f"{line}\n" for line in lines))


def put_nan(lines: list[str]) -> None:
    row = json.loads(lines[3])
    lines[3] = lines[3].replace(f'"valid_accuracy":{row["valid_accuracy"]}', '"valid_accuracy":NaN')
    assert "NaN" in lines[3]


def put_other_space(lines: list[str]) -> None:
    header = json.loads(lines[0])
    header["spec"]["space"] = "nao5" if header["spec"]["space"] != "nao5" else "nasbench201"
    lines[0] = json.dumps(header)


def put_unknown_space(lines: list[str]) -> None:
    header = json.loads(lines[0])
    header["spec"]["space"] = "elsewhere"
    lines[0] = json.dumps(header)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (put_nan, [":4", "NaN"]),
        (put_other_space, [":2", "space"]),
        (put_unknown_space, [":1", "elsewhere"]),
        (lambda lines: lines.pop(), ["229 of 230", "copy or export"]),
        (lambda lines: lines.insert(2, "{"), [":3"]),
    ],
    ids=["NaN", "another space", "unknown space", "cut off", "half a line"],
)
def test_a_bad_history_is_refused_and_imports_nothing(
    change: Callable, parts: list[str], run_command: Callable, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "bad.jsonl"
    damaged_history(file, change)
    work = f"--workdir={tmp_path / 'work'}"
    check_refused(run_command("history", "import", f"--file={file}", work), str(file), *parts)
    listed = run_command("history", "list", work)
    assert listed.code == 0
    assert "no study yet" in listed.out


def test_a_storage_that_is_no_database_is_refused_and_stays(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "history.db"
    file.write_text("not a database, much longer than a header of SQLite has to be" * 20)
    before = file.read_bytes()
    check_refused(run_command("search", CELLS, f"--workdir={tmp_path}"), "history.db")
    assert file.read_bytes() == before


@pytest.mark.slow
def test_another_configuration_on_an_existing_study_is_refused(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    words = ["collect", "--study=s", "--num_architectures=1", f"--workdir={tmp_path}", *QUICK]
    assert run_command(*words).code == 0
    check_refused(run_command(*words, "--seed=1"), "'s'", "seed 0 -> 1")
    check_refused(
        run_command("history", "export", "--study=t", "--file=x", words[3]), "'t'", "known: s"
    )


def test_a_source_of_the_same_images_needs_reuse_target(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    work = f"--workdir={tmp_path}"
    made = run_command("collect", "--study=s", "--num_architectures=1", work, *QUICK)
    assert made.code == 0
    check_refused(run_command("search", "--sources=s", work, *QUICK), "'s'", "--reuse_target")


def test_usage_errors_of_absl_exit_2_in_a_real_process(
    start_process: Callable[..., subprocess.Popen], tmp_path: pathlib.Path
) -> None:
    process = start_process("search", "--seed=x", f"--workdir={tmp_path}")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert err.count("\n") == 1
    assert "seed" in err
    assert out == ""


def test_ray_that_is_not_installed_is_one_line(
    run_command: Callable, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not there
    done = run_command("search", CELLS, "--executor=ray", f"--workdir={tmp_path}")
    check_refused(done, "--executor=ray", "make setup EXTRAS=ray")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"valid_accuracy": 0.5}',
        '{"valid_accuracy": null, "curve": [0.5], "test_accuracy": 0.5, "num_params": 1}',
        '{"valid_value": 0.5, "curve": [0.5], "test_value": "1", "num_params": 1}',
    ],
)
def test_a_damaged_result_of_a_training_is_named(text: str, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "result.json"
    file.write_text(text)
    with pytest.raises(FlagError, match=r"result\.json is damaged.*Remove that file"):
        _read_result(file)


def test_a_result_that_version_0_1_wrote_is_read(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "result.json"
    values = {"valid_accuracy": 0.5, "curve": [0.25, 0.5], "test_accuracy": 0.75, "num_params": 1}
    file.write_text(json.dumps(values))
    result = _read_result(file)
    assert (result["valid_value"], result["test_value"]) == (0.5, 0.75)
