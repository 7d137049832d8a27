"""Ray itself: the connection to a cluster or to one of this machine's own, and what it has."""

import os
import re
import secrets
import socket
import subprocess
import sys
import warnings
from collections.abc import Mapping
from typing import Any

from xfernas_jax.errors import ClusterError, MissingExtraError

_ADDRESS = re.compile(r"(?P<host>[\w.-]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
_CONNECT_SECONDS = 10.0
_PROBE_SECONDS = 60.0
_PROBE = """
import sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, configure_logging=False)
except Exception as error:
    print(error)
    sys.exit(1)
"""


def import_ray() -> Any:
    """Imports Ray, which takes a second.

    Raises:
      MissingExtraError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("--executor=ray needs Ray; run `make setup EXTRAS=ray`.") from error
    return ray


def connect(address: str | None, num_cpus: int | None = None) -> None:
    """Connects this process to a running cluster, or starts one for itself.

    The latter listens on the loopback interface alone, has no dashboard, and ends with
    `disconnect` or with this process.

    Args:
      address: HOST:PORT, "auto" for the cluster that this machine is a node of, or None.
      num_cpus: that a Ray of its own offers; by default the cores that this process may use.

    Raises:
      MissingExtraError: without Ray.
      ClusterError: no cluster answers there within a minute or so, or it refuses this process.
    """
    if address is None:
        _start(num_cpus or _num_cores())
        return
    ray = import_ray()
    _check_answers(address)
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")


def disconnect() -> None:
    """Leaves the cluster; one that `connect` started ends."""
    import_ray().shutdown()


def _num_cores() -> int:
    has_affinity = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1


def _start(num_cpus: int) -> None:
    """Starts a Ray of this process's own."""
    settings = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # as there: Ray keeps to 127.0.0.1
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # as the next version has it; a warning else
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),  # else Ray keeps one in the home folder
    }
    if "ray" not in sys.modules:  # it reads them at its import, and mixed ones do not work
        for name, value in settings.items():
            os.environ.setdefault(name, value)
    ray = import_ray()
    try:
        with warnings.catch_warnings():
            # JAX warns of the forks in which Ray starts its programs at once.
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            ray.init(
                address="local",
                num_cpus=num_cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
            )
    except Exception as error:  # whatever keeps its processes from starting
        raise ClusterError(f"Ray does not start on this machine: {_line(error)}") from error


def _check_answers(address: str) -> None:
    """Raises `ClusterError` where no cluster takes this machine's processes.

    Ray itself tries for minutes and then ends the process, so another process tries first.
    """
    match = _ADDRESS.fullmatch(address)
    if address != "auto" and (match is None or int(match["port"]) > 65535):
        raise ClusterError(
            f"--ray_address={address} is neither auto nor HOST:PORT, such as 10.0.0.1:6379."
        )
    way_out = "`ray start --head` on one machine starts a cluster; BUILD.md, 'A Ray cluster'."
    if match is not None:
        try:
            target = (match["host"].strip("[]"), int(match["port"]))
            socket.create_connection(target, _CONNECT_SECONDS).close()
        except OSError as error:
            raise ClusterError(
                f"--ray_address={address}: nothing answers there ({_line(error)}); {way_out}"
            ) from error
    command = [sys.executable, "-c", _PROBE, address]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_PROBE_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(
            f"--ray_address={address}: no Ray answered in {_PROBE_SECONDS:.0f} s; {way_out}"
        ) from error
    if done.returncode:
        reason = _line(done.stdout) or f"exit code {done.returncode}"
        if "Could not find any running Ray" in reason:
            reason = "this machine is no node of a Ray cluster"
        raise ClusterError(f"--ray_address={address}: {reason}; {way_out}")


def _line(error: Exception | str) -> str:
    """Returns the beginning of a message as one line without a full stop."""
    return " ".join(str(error).split())[:300].rstrip(". ")


def living_nodes() -> list[Mapping[str, float]]:
    """Returns the resources of each node that the cluster has now."""
    return [node["Resources"] for node in import_ray().nodes() if node["Alive"]]
