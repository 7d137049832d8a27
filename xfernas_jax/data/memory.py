"""What fits in memory, told before it is filled."""

from xfernas_jax.errors import DatasetError
from xfernas_jax.memory import total_memory


def check_memory(path: str, num_bytes: int, way_out: str) -> None:
    """Raises `DatasetError` where this machine's memory cannot hold what a file declares.

    Args:
      path: opens the message.
      num_bytes: what would be held.
      way_out: closes the message.
    """
    total = total_memory()
    if num_bytes > total:
        raise DatasetError(
            f"{path}: takes {num_bytes / 2**30:,.1f} GiB in memory, but this machine has "
            f"{total / 2**30:,.1f} GiB; {way_out}."
        )
