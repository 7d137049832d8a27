import importlib
import os
import pathlib
import socket
import subprocess
import sys
import textwrap
import warnings

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import settings

import xfernas_jax

IN_A_CHILD = """
import jax
print(jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs)
"""


def test_four_cpu_devices_are_there() -> None:
    assert [device.platform for device in jax.devices()] == ["cpu"] * 4


def test_rank_promotion_is_refused() -> None:
    with pytest.raises(ValueError, match="rank_promotion"):
        jnp.add(jnp.ones((2, 3)), jnp.ones(3))


def test_warnings_are_errors() -> None:
    with pytest.raises(UserWarning, match="seen"):
        warnings.warn("seen", UserWarning, stacklevel=1)


def test_hypothesis_repeats_itself_in_ci() -> None:
    assert settings().deadline is None
    assert settings().derandomize is bool(os.environ.get("CI"))


def test_connections_beyond_this_machine_are_refused() -> None:
    with socket.socket() as outside, pytest.raises(AssertionError, match="no network"):
        outside.connect(("192.0.2.1", 9))  # TEST-NET-1, RFC 5737: belongs to nobody


def test_loopback_stays_open() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5) as client,
    ):
        assert client.getpeername() == server.getsockname()


def test_types_and_shapes_are_checked_in_our_package(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.getoption("--jaxtyping-packages") == "xfernas_jax,beartype.beartype"
    assert "jaxtyping" in type(xfernas_jax.__spec__.loader).__module__


def test_the_import_hook_refuses_a_wrong_shape(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "probe_package.py").write_text(
        textwrap.dedent("""
            import numpy as np
            from jaxtyping import Float
            def total(x: Float[np.ndarray, "rows columns"]) -> float:
                return float(x.sum())
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    with jaxtyping.install_import_hook("probe_package", "beartype.beartype"):
        probe = importlib.import_module("probe_package")
    del sys.modules["probe_package"]
    probe.total(np.zeros((2, 3), np.float32))
    with pytest.raises(jaxtyping.TypeCheckError):
        probe.total(np.zeros((2,), np.float32))


def test_a_child_process_takes_programs_from_earlier_runs_and_keeps_its_own() -> None:
    folder = pathlib.Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    assert jax.config.values["jax_compilation_cache_dir"] == str(folder)
    assert folder.is_dir()
    words = [sys.executable, "-c", IN_A_CHILD]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(folder), "0.0"]
