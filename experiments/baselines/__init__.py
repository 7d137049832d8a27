"""Baselines of `tabular_search`: pairwise ridge, LightGBM, and Optuna's TPE and GP samplers.

    python -m experiments.tabular_search --benchmark_dir=DIR --output=runs/baselines
        --optimizers=xfer_bananas,experiments.baselines:xfer_ridge  (one line)

`ridge`, `lightgbm`, `tpe` and `gp` read the target alone and begin with random architectures; their
twins `xfer_...` read the sources too. Settings are the libraries' own, or chosen by
cross-validation, but for those that the code gives a reason for. `lightgbm` needs the extra
`baselines`, `gp` the extra `bench`.
"""

from experiments.baselines.base import Baseline
from experiments.baselines.models import LightGbmSearch, RidgeSearch
from experiments.baselines.samplers import GpSearch, TpeSearch
from xfernas_jax.search.registry import Builder


def _twins(kind: type[Baseline]) -> tuple[Builder, Builder]:
    """Returns the builders without and with sources."""
    return lambda space, sources, config: kind(space, (), config), kind


ridge, xfer_ridge = _twins(RidgeSearch)
lightgbm, xfer_lightgbm = _twins(LightGbmSearch)
tpe, xfer_tpe = _twins(TpeSearch)
gp, xfer_gp = _twins(GpSearch)
