"""Evaluations on the nodes of a Ray cluster, here two on this machine.

    python examples/cluster.py

On machines of your own `ray start` makes the cluster (BUILD.md, A Ray cluster), and the command is
the same with `--ray_address=auto`.
"""

import argparse
import os
import subprocess
import sys


def main() -> None:
    """Starts two nodes and a search on them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", default="runs")
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # keeps to this machine
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster  # after these words to it

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        words = [
            *("search", "--dataset=digits", "--space=nasbench201", "--study=cluster"),
            *("--executor=ray", f"--ray_address={cluster.address}"),
            *("--optimizer=random", "--budget_evaluations=4", "--confirm_seeds=1"),
            *("--set=train.epochs=2", "--set=network.filters=4"),
            f"--workdir={parser.parse_args().workdir}",
        ]
        done = subprocess.run([sys.executable, "-m", "xfernas_jax", *words], check=False)
    finally:
        cluster.shutdown()
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
