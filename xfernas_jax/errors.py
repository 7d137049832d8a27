"""One class for each kind of user mistake.

`run.py` prints the message of a `UserError` as one line and exits with code 2. A message
names the place, the rule and the way out.
"""


class UserError(Exception):
    """A mistake in what the user gave us; never a defect of ours."""

    exit_code = 2


class IncompleteError(UserError):
    """A part of what was asked for could not be done; all the rest is."""

    exit_code = 1


class FlagError(UserError):
    """A command, flag or flag value that does not exist or does not fit the others."""


class GenotypeError(UserError):
    """A genotype, token sequence or genotype file that breaks its space's rules."""


class SpaceError(UserError):
    """An unknown search space, or two spaces where one is needed."""


class DatasetError(UserError):
    """A data set that is unknown, missing, unreadable or malformed."""


class RecipeError(UserError):
    """An unknown recipe, or a recipe value out of range."""


class StorageError(UserError):
    """A storage that cannot be opened, read or written."""


class StudyError(UserError):
    """A study that is unknown, or whose configuration differs from the one asked for."""


class LeaseError(UserError):
    """A study that another process controls, or has taken over."""


class HistoryError(UserError):
    """A history file or record that is malformed."""


class BenchmarkError(UserError):
    """A table of scores, or its manifest, that is missing, unreadable or malformed."""


class DeviceError(UserError):
    """Devices that do not fit the request, such as a batch that they do not divide."""


class ClusterError(UserError):
    """A Ray cluster that cannot be reached or started."""


class HostsError(UserError):
    """Processes of a training on many hosts that do not find each other."""


class AgreedError(UserError):
    """A mistake that every process of a training on many hosts has been told of."""


class WorkerError(UserError):
    """Worker processes that die again and again over the same evaluation."""


class ExportError(UserError):
    """An export that cannot be written, or that does not give the recorded score."""


class ModelError(UserError):
    """An exported network that is missing, damaged or does not fit what is asked of it."""


class ReportError(UserError):
    """A report that cannot be written."""


class MissingExtraError(UserError):
    """An optional dependency that is not installed; the message names the extra."""


class TrainingDivergedError(Exception):
    """The loss or the metric became NaN or infinite: the evaluation fails, the search goes on.

    Attributes:
      epoch: the epoch, counted from 1, in which it happened.
      curve: the metric after each epoch before it.
    """

    def __init__(self, epoch: int, curve: tuple[float, ...] = (), what: str = "loss") -> None:
        super().__init__(f"The {what} is not finite in epoch {epoch}.")
        self.epoch = epoch
        self.curve = curve


class TrainingInterruptedError(Exception):
    """The training was asked to leave and has saved its state; the same one goes on from there.

    Attributes:
      epochs: that were finished before.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__(f"Interrupted and saved in epoch {epochs + 1}.")
        self.epochs = epochs
