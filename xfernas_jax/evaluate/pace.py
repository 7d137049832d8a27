"""How many epochs of a training fit into the time that it may take."""

import math
import time

_SLACK_SHARE = 0.05  # of the time, that the last epoch may take too long


class TimePace:
    """Revises a training's length after each epoch, so that it ends in time; see `Trainer.fit`.

    The learning rate falls to its end over the epochs that are left, however many: a training
    that runs late is a shorter training, not a broken one. So the last epoch, in which it gets
    there, is not dropped where it would end a little late.
    """

    def __init__(self, end: float, most: int) -> None:
        """Begins; everything is compiled by now.

        Args:
          end: `time.monotonic()` at which the training has to be over.
          most: epochs of the recipe.
        """
        self._end, self._most = end, most
        self._slack = _SLACK_SHARE * max(end - time.monotonic(), 0.0)
        self._begun, self._before = time.monotonic(), -1

    def __call__(self, done: int, planned: int) -> int:
        """Returns the epochs after which to end, from the mean seconds of those that ran here."""
        if self._before < 0:
            self._before = done - 1  # the epochs of an earlier process, from a checkpoint
        now = time.monotonic()
        each = (now - self._begun) / (done - self._before)
        left = self._end - now
        fitting = math.floor(left / each) if each > 0.0 else self._most
        if planned - done == 1 and each <= left + self._slack:
            fitting = max(fitting, 1)
        return max(done, min(self._most, done + fitting))
