"""What the test part says of the network that a search hands over: files and words."""

from typing import Any

from xfernas_jax.cli import inputs
from xfernas_jax.data.base import ImageDataset
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.tested import from_logits, write_tested
from xfernas_jax.evaluate.trust import test_part, worst_mistakes
from xfernas_jax.history import StudySpec
from xfernas_jax.search.outcome import Outcome

_NUM_MISTAKES = 12


def keep(spec: StudySpec, dataset: ImageDataset | None, found: Outcome) -> dict[str, Any] | None:
    """Writes what the network says of each test image; returns what the result keeps of it.

    None where nobody can tell: no test part, or an executor that does not answer.

    Args:
      spec: of the study.
      dataset: as the last training had it.
      found: what the search ended with.
    """
    if found.test_logits is None or dataset is None:
        return None
    files = () if dataset.found is None else dataset.found.parts["test"].files
    tested = from_logits(found.test_logits, dataset.test.labels, dataset.class_names, files)
    folder = inputs.folder_of(inputs.STUDIES, spec.name)
    try:
        write_tested(folder, worst_mistakes(tested, dataset, _NUM_MISTAKES))
    except OSError as error:
        raise FlagError(f"{folder} cannot be written ({error.strerror}).") from error
    return test_part(tested, dataset, spec.task.metric)
