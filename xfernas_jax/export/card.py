"""What a model card says: where a network comes from and what its score means."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from xfernas_jax.evaluate.trust import LIMITS, trust_rows, with_interval
from xfernas_jax.history.metric import Metric

_ONNX = (
    "`model.onnx` holds its variables, takes the same images and gives the same logits; "
    "`classes` among its metadata is the list of `classes.json`. In Python: "
    '`onnxruntime.InferenceSession("model.onnx").run(None, {"images": images})`.'
)


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """Facts about an exported network.

    Attributes:
      study: that found it.
      dataset: name of the task's data.
      split: the rule that made train, validation and test parts.
      class_names: in the order of the logits.
      space: search space.
      network: the architecture in words, or empty.
      metric: of the values.
      valid_value: what the search compared, `valid_seeds` trainings' mean.
      valid_seeds: trainings behind it.
      test_value: of the exported variables.
      seed: of the training that made them.
      recipe: its values.
      num_params: trainable parameters.
      costs: what a training of this network recorded beside parameters, by name.
      input_shape: (height, width, channels) of the images that the network is trained on.
      num_evaluations: that the study cost, confirmations included.
      device_seconds: of all its trainings: wall seconds times devices.
      sources: studies of other tasks that it learned from.
      versions: that made the export, by name.
      compared: lines by their names on how known networks did.
      test_part: what the result keeps of the test part, see `evaluate.trust`; None without it.
      has_onnx: whether `model.onnx` lies beside it.
      num_members: trainings of the network whose answers are averaged; `costs` are of all.
    """

    study: str
    dataset: str
    split: str
    class_names: tuple[str, ...]
    space: str
    network: str
    metric: Metric
    valid_value: float
    valid_seeds: int
    test_value: float
    seed: int
    recipe: Mapping[str, Any]
    num_params: int
    costs: Mapping[str, float]
    input_shape: tuple[int, int, int]
    num_evaluations: int
    device_seconds: float
    sources: Sequence[str]
    versions: Mapping[str, str]
    compared: Mapping[str, str] = dataclasses.field(default_factory=dict)
    test_part: Mapping[str, Any] | None = None
    has_onnx: bool = False
    num_members: int = 1

    @property
    def _what_was_tested(self) -> str:
        several = f"the mean of the answers of {self.num_members} trainings"
        return "this training" if self.num_members == 1 else several

    @property
    def _what_was_compared(self) -> str:
        one = f"mean of {self.valid_seeds}; the search compared it"
        return one if self.num_members == 1 else f"of {self._what_was_tested}"

    def text(self) -> str:
        """Returns the card as Markdown."""
        height, width, channels = self.input_shape
        metric = self.metric
        facts = {
            "Task": f"{self.dataset}, {len(self.class_names)} classes",
            "Split": self.split,
            "Metric": f"{metric.label}; {'larger' if metric.maximize else 'smaller'} is better",
            f"Test {metric.label}": with_interval(self.test_value, self.test_part, metric)
            + f" ({self._what_was_tested}; read once)",
            **{n.capitalize(): words for n, words in trust_rows(self.test_part).items()},
            f"Validation {metric.label}": f"{metric.text(self.valid_value)} "
            f"({self._what_was_compared})",
            **{name.capitalize(): words for name, words in self.compared.items()},
            "Training seed": str(self.seed),
            "Parameters": f"{self.num_params:,}",
            **{name: f"{cost:.6g}" for name, cost in self.costs.items()},
            "Search space": self.space,
            "Network": self.network or "see genotype.json",
            "Study": self.study,
            "Search cost": f"{self.num_evaluations} trainings, "
            f"{self.device_seconds / 3600:.3f} device hours",
            "Sources": ", ".join(self.sources) or "none",
        }
        lines = [
            f"# A network for {self.dataset}",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in facts.items()),
            "",
            "## Use",
            "",
            "`run.py predict --model=FOLDER photo.jpg` classifies photos of any size; in Python "
            "`xfernas_jax.load_network(FOLDER)` gives the Flax module, its variables and the "
            "preprocessing.",
            "",
            "Without xfernas_jax, `python reload.py` shows how; it needs `pip install jax "
            "flatbuffers`. `model.stablehlo` takes the arrays of `variables.npz` and uint8 images "
            f"`[batch, H, W, {channels}]` of any height and width (0 to 255; it brings them to "
            f"{height}x{width} and standardises them itself), and gives logits in the order of "
            "`classes.json`:",
            "",
            f"    {', '.join(self.class_names)}",
            *(["", _ONNX] if self.has_onnx else []),
            "",
            "## What the score does not say",
            "",
            LIMITS,
            "",
            "## Recipe",
            "",
            *(
                f"- {part}: " + ", ".join(f"{key} {value}" for key, value in values.items())
                for part, values in self.recipe.items()
                if isinstance(values, Mapping)
            ),
            "",
            "## Versions",
            "",
            *(f"- {name} {version}" for name, version in self.versions.items()),
        ]
        return "\n".join(lines) + "\n"
