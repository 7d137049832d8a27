import os
import pathlib
import subprocess
import sys

import pytest

PROGRAM = """
import sys, jax, jax.monitoring
from xfernas_jax.train.compile_cache import use_compile_cache
use_compile_cache(sys.argv[1], float(sys.argv[2]))
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append("cache_hits" in event))
print([float(jax.jit(lambda x, k=k: x + k)(1.0)) for k in range(int(sys.argv[3]))], sum(hits))
"""
WHOLE, SMALL = 1.0, 2.0**-17  # GiB; the small one is 8 KiB, 3 or 4 of these programs


def start(
    folder: pathlib.Path, gib: float, programs: int, **environment: str
) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", PROGRAM, str(folder), str(gib), str(programs)]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION")}
    pipe, env = subprocess.PIPE, {**inherited, **environment}
    return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, env=env)


def outcome(process: subprocess.Popen[str], programs: int) -> int:
    """Returns the number of programs that were found, after a run without errors or words."""
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    numbers, _, hits = out.strip().rpartition(" ")
    assert numbers == str([1.0 + k for k in range(programs)])
    return int(hits)


def programs_in(folder: pathlib.Path) -> list[pathlib.Path]:
    return list(folder.glob("*-cache"))


@pytest.mark.slow
def test_processes_that_share_a_small_folder_stay_within_its_bound(tmp_path: pathlib.Path) -> None:
    for name in ("old-cache", "of_another_kind"):
        (tmp_path / name).write_bytes(bytes(2**13))
        os.utime(tmp_path / name, (0, 0))
    together = [start(tmp_path, SMALL, 15) for _ in range(2)]
    for process in together:
        outcome(process, 15)
    assert {"old-cache", "of_another_kind"} & set(os.listdir(tmp_path)) == {"of_another_kind"}
    sizes = [file.stat().st_size for file in programs_in(tmp_path)]
    # Each process enforces the bound just before it writes, so each may add one program.
    assert 0 < sum(sizes) <= SMALL * 2**30 + 2 * max(sizes)


@pytest.mark.slow
def test_programs_are_found_again_and_damaged_ones_compile_anew(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "new" / "cache"
    assert outcome(start(folder, WHOLE, 6), 6) == 0
    files = sorted(programs_in(folder))
    damages = (lambda _: b"", lambda content: content[:-1], lambda content: bytes(len(content)))
    for file, damage in zip(files, damages, strict=False):
        file.write_bytes(damage(file.read_bytes()))
    assert outcome(start(folder, WHOLE, 6), 6) == len(files) - len(damages)
    assert outcome(start(folder, 0, 6), 6) == 0


@pytest.mark.slow
def test_a_folder_that_the_user_named_is_used_and_keeps_what_it_holds(
    tmp_path: pathlib.Path,
) -> None:
    users, ours = tmp_path / "users", tmp_path / "ours"
    users.mkdir()
    (users / "old-cache").write_bytes(bytes(2**14))
    named = {"JAX_COMPILATION_CACHE_DIR": str(users)}
    together = [start(ours, SMALL, 15, **named) for _ in range(2)]
    for process in together:
        outcome(process, 15)
    assert outcome(start(ours, SMALL, 15, **named), 15) == len(programs_in(users)) - 1
    assert (users / "old-cache").is_file()
    assert not ours.exists()
    assert outcome(start(ours, 0, 15, **named), 15) == 0
