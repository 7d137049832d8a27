"""Options that never change a score: a new one of a training is a field here, and nothing else.

Nothing heavy is imported: the command line's help reads it.
"""

import dataclasses
from typing import Literal

from xfernas_jax.options import option


@dataclasses.dataclass(frozen=True)
class Runtime:
    """How trainings use a machine; fields with a help text are flags (`options.define_flags`).

    Attributes:
      programs: see `TrainedEvaluator`.
      residence: of the data, see `TrainedEvaluator`.
      depthwise: see `NetworkConfig`, as for the next two; None leaves what the recipe says.
      remat: see there.
      scan_cells: see there.
      evaluation_checkpoint_seconds: between the states that an evaluation keeps while it runs.
      compile_cache_gib: bound of `compile_cache`.
      compile_cache: folder of compiled programs that workers use; None leaves JAX's own settings.
      unfinished_dir: folder of the states of evaluations that stop or are cut off; None keeps none.
    """

    programs: Literal["auto", "own", "shared"] = option(
        "auto",
        "What is compiled: own (a program for each network), shared (one for all networks of a "
        "space like nasbench201, which computes every edge), or auto (shared where trainings are "
        "short).",
        neutral=True,
    )
    residence: Literal["auto", "device", "stream"] = option(
        "auto",
        "Where images are in training: device (all of them on every device), stream (sent batch by "
        "batch from memory or file) or auto (stream what would take a quarter of a device's "
        "memory; 2 GiB where that is unknown). Results are the same.",
        neutral=True,
        flag="data_residence",
    )
    depthwise: Literal["auto", "lax", "shift"] | None = option(
        None,
        "How depthwise convolutions are computed: lax (XLA's), shift (sums of shifted images) or "
        "auto (shift on CPUs, where it was measured to be faster). Values are the same.",
        neutral=True,
    )
    remat: bool | None = option(
        None,
        "Compute a cell's inner images again for its gradient: less memory, more time.",
        neutral=True,
    )
    scan_cells: bool | None = option(
        None,
        "Compile the equal cells of a stage as one: deep networks compile faster. Networks that "
        "share a program (see --programs) do not need it.",
        neutral=True,
    )
    evaluation_checkpoint_seconds: float = option(
        60.0,
        "Seconds between checkpoints of a training of `search` and `collect`, which goes on from "
        "there when its process or node died; 0 keeps none.",
        low=0.0,
    )
    compile_cache_gib: float = option(
        2.0,
        "Compiled programs that stay in --workdir for later runs, in GiB; 0 keeps and reads none. "
        "Where JAX_COMPILATION_CACHE_DIR names a folder, they stay there and are not bounded.",
        low=0.0,
    )
    compile_cache: str | None = None
    unfinished_dir: str | None = None
